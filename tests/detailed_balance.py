"""Flows between states are equal, exactly: every step that accepts or rejects.

A step runs as plain Python, its random numbers `scripted`. Seven states lie on a lattice, and each
is proposed from each other one by the numbers that lead there. What an unknown uniform is compared
with is the chance to be accepted, a_ij, and

    pi_i q_ij min(1, a_ij) = pi_j q_ji min(1, a_ji)

has to hold to rounding (Metropolis et al. 1953, Hastings 1970). pi is `joint_density`; q is the law
that the step says it proposes from, put down once more in ``balance_*``; that the step draws from
that law shows in where it arrives. Of slices, which have no such chance, all ways are counted out
on a lattice, and so are those of NUTS on a trajectory.
"""

from typing import Any

import general_cases as general
from balance import imbalance
from balance_classical import Centred, Newton, Sigma, Walk
from balance_crossed import Dispersion, Loose, Nested, Residual
from balance_effects import EffectsNewton, EffectsWalk, Levels, Renewal
from balance_paths import Trajectory, Trees
from balance_slices import Slice
from balance_transported import Integrated, OfFactor, Transported
from joint import Load
from joint_crossed import CrossedCase


def _made(kind: Any, case: CrossedCase, *rest: Any, **options: Any) -> Any:
    return lambda load: kind(case, load, *rest, **options)


# What accepts or rejects in the package, each where it differs.
STEPS: dict[str, Any] = {
    "transported: theta": _made(Transported, general.BERNOULLI, "theta"),
    "transported: theta, LKJ": _made(Transported, general.LKJ, "theta"),
    "transported: theta, linear map": _made(Transported, general.LKJ, "theta", linear=True),
    "transported: psi of a variance": _made(Transported, general.VARIANCE, "psi"),
    "transported: coefficients and dispersion": _made(Transported, general.GAMMA_ONE, "rest"),
    "transported: walk of psi": _made(Transported, general.WISHART, "psi", walk=True),
    "transported: effects": _made(Renewal, general.BERNOULLI),
    "transported: effects and slopes": _made(Renewal, general.LKJ),
    "collapsed: t": _made(Integrated, general.GAUSSIAN_LKJ),
    "collapsed: t, nested": _made(Integrated, general.NESTED_GAUSSIAN),
    "collapsed: walk of t": _made(Integrated, general.GAUSSIAN_LKJ, walk=True),
    "crossed: psi": _made(OfFactor, general.CROSSED_PROBIT),
    "crossed: psi, pooled counts": _made(OfFactor, general.CROSSED_WEIGHTED),
    "crossed: walk of psi": _made(OfFactor, general.CROSSED_PROBIT, walk=True),
    "crossed: coefficients along a factor": _made(
        Centred, general.CROSSED_LAPLACE, "crossed: centred coefficients"
    ),
    "crossed: loose coefficients": _made(Loose, general.WIDE_COUNTS),
    "crossed: loose coefficients, Laplace priors": _made(Loose, general.CROSSED_LAPLACE),
    "crossed: walk of loose coefficients": _made(Loose, general.WIDE_COUNTS, walk=True),
    "crossed: size": _made(Dispersion, general.CROSSED_SIZE),
    "crossed: shape": _made(Dispersion, general.CROSSED_SHAPE),
    "crossed: walk of the shape": _made(Dispersion, general.CROSSED_SHAPE, walk=True),
    "crossed: sigma": _made(Residual, general.NESTED_GAUSSIAN),
    "crossed: nested, child": _made(Nested, general.NESTED_LKJ, 0),
    "crossed: nested, parent": _made(Nested, general.NESTED_LKJ, 1),
    "crossed: nested, against each other": _made(Nested, general.NESTED_LKJ, 2),
    "classical: walk of beta": _made(Walk, general.STUDENT, "classical: walk of beta", (0, 1)),
    "classical: walk of sigma": _made(
        Walk, general.GAUSSIAN, "classical: walk of the dispersion", (3,)
    ),
    "classical: walk of Sigma": _made(
        Walk, general.LKJ_THREE, "classical: walk of Sigma", range(2, 8)
    ),
    "classical: walk of Sigma, Huang and Wand": _made(
        Walk, general.HUANG, "classical: walk of Sigma", range(2, 5)
    ),
    "classical: iwls of beta": _made(Newton, general.POISSON, "classical: iwls of beta"),
    "classical: iwls of beta, Laplace priors": _made(
        Newton, general.LAPLACE, "classical: iwls of beta"
    ),
    "classical: centred beta": _made(Centred, general.STUDENT, "classical: centred beta"),
    "classical: nearly exact Sigma": _made(
        Sigma, general.LKJ_THREE, "classical: nearly exact Sigma"
    ),
    "classical: nearly exact sds": _made(Sigma, general.DIAGONAL, "classical: nearly exact Sigma"),
    "classical: walk of u": _made(EffectsWalk, general.WISHART),
    "classical: iwls of u": _made(EffectsNewton, general.BERNOULLI),
    "classical: iwls of u and slopes": _made(EffectsNewton, general.LKJ),
    "classical: slice of a coefficient": _made(
        Slice, general.CLOGLOG, "classical: slice of a coefficient", 1, "classical_theta"
    ),
    "classical: slice of the shape": _made(
        Slice, general.GAMMA_ONE, "classical: slice of the dispersion", 3, "classical_theta"
    ),
    "classical: slice of Sigma": _made(
        Slice, general.VARIANCE, "classical: slice of Sigma", 2, "centring"
    ),
    "classical: sd, effects along": _made(
        Slice,
        general.BERNOULLI,
        "classical: sd, effects along",
        2,
        "classical_scales",
        along=True,
    ),
    "hmc": _made(Trajectory, general.BERNOULLI),
    "hmc, slopes": _made(Trajectory, general.WISHART),
    "nuts, short steps": lambda load: Trees(load, 3, 0.1, {3}),
    "nuts, long steps": lambda load: Trees(load, 3, 0.9, {1, 2, 3}),
}


def result_of(name: str, load: Load) -> tuple[float, set[str]]:
    """Imbalance of a step by name, in a plain copy of the package, and who has drawn uniforms."""
    step = STEPS[name](load)
    if isinstance(step, Trees):
        return step.imbalance(), step.script.askers
    try:
        found = step.imbalance() if isinstance(step, Levels | Slice) else imbalance(step)
        return found, step.script.askers
    finally:
        step.restore()


# Which step shows that a function that draws uniforms is right.
SHOWN = {
    "conditionals.transport.advance": "transported: theta",
    "conditionals.renewal.renew": "transported: effects",
    "conditionals.collapsed.advance": "collapsed: t",
    "conditionals.crossed._move_factor": "crossed: psi",
    "conditionals.directions.draw": "crossed: coefficients along a factor",
    "conditionals.loose.move": "crossed: loose coefficients",
    "conditionals.loose._move_dispersion": "crossed: shape",
    "conditionals.loose._draw_sigma": "crossed: sigma",
    "conditionals.nested.move": "crossed: nested, child",
    "conditionals.classical_theta.walk": "classical: walk of beta",
    "conditionals.classical_theta.iwls": "classical: iwls of beta",
    "conditionals.classical_theta._slice": "classical: slice of a coefficient",
    "conditionals.classical_sigma._walk": "classical: walk of Sigma",
    "conditionals.classical_scales._slice": "classical: sd, effects along",
    "conditionals.classical_effects._accept": "classical: iwls of u",
    "conditionals.centring._draw_beta": "classical: centred beta",
    "conditionals.centring._draw_nearly_conjugate": "classical: nearly exact Sigma",
    "conditionals.centring._draw_sds": "classical: nearly exact sds",
    "conditionals.centring._slice": "classical: slice of Sigma",
    "samplers.hmc.begin": "hmc",
    "samplers.hmc.record": "hmc",
    "samplers.nuts.choose_side": "nuts, long steps",
    "samplers.nuts.double": "nuts, long steps",
    "samplers.nuts.merge": "nuts, long steps",
}
