"""Every step that accepts or rejects balances the flow between any two states, to rounding.

See `detailed_balance`: chances are read where the step itself compares them. Metropolis et al.
(1953), Hastings (1970); slices: Neal (2003), whose steps out and shrinking are counted out;
trajectories: Hoffman and Gelman (2014), Betancourt (2017).
"""

import ast
from pathlib import Path
from typing import NamedTuple

import pytest
from detailed_balance import SHOWN, STEPS, result_of
from mutants import plain_copy
from scripted import Broken

import bayesglmm

MOST = 1e-12  # |flow forth / flow back - 1|


class Fault(NamedTuple):
    """A change of one file, and a step that it breaks."""

    step: str
    file: str
    old: str
    new: str


CENTRING, EFFECTS = "conditionals/centring.py", "conditionals/classical_effects.py"
LOOSE, THETA = "conditionals/loose.py", "conditionals/classical_theta.py"
TRANSPORT, NUTS = "conditionals/transport.py", "samplers/nuts.py"

FAULTS = {
    "no Hastings term": Fault(
        "transported: theta, LKJ",
        TRANSPORT,
        "return power * (math.log1p(new_square / df) - math.log1p(old_square / df))",
        "return 0.0 * power",
    ),
    "ratio with the wrong sign": Fault(
        "transported: walk of psi",
        TRANSPORT,
        "ratio += log_prior + value - state.value[now, PRIOR] - state.value[now, GROUPS]",
        "ratio -= log_prior + value - state.value[now, PRIOR] - state.value[now, GROUPS]",
    ),
    "no Jacobian of the linear map": Fault(
        "transported: theta, linear map",
        "conditionals/passes.py",
        "add(own_total, own, 1.0)",
        "add(own_total, own, 0.0)",
    ),
    "no Jacobian of the Newton map": Fault(
        "transported: theta",
        "conditionals/passes.py",
        "value = total_of(loglik[place:end]) - total_of(total[:groups])\n    for k in range(q):\n"
        "        value -= 0.5 * dot(own",
        "value = total_of(loglik[place:end])\n    for k in range(q):\n"
        "        value -= 0.5 * dot(own",
    ),
    "effects without their proposal": Fault(
        "transported: effects",
        "conditionals/renewal.py",
        "out[g] = loglik[g] - larger - log(total)",
        "out[g] = loglik[g]",
    ),
    "half as much of the wide proposal": Fault(
        "transported: effects and slopes",
        "conditionals/renewal.py",
        "wide = LOG_WIDE + base",
        "wide = LOG_WIDE - 0.7 + base",
    ),
    "collapsed, no Hastings term": Fault(
        "collapsed: t",
        "conditionals/collapsed.py",
        "ratio = power * (math.log1p(new_square / DF) - math.log1p(old_square / DF))",
        "ratio = 0.0 * power",
    ),
    "no Jacobian of the sds": Fault(
        "collapsed: walk of t",
        "conditionals/sd_coordinate.py",
        "value = math.log(math.cosh(y))",
        "value = 0.0 * math.log(math.cosh(y))",
    ),
    "crossed, no Hastings term": Fault(
        "crossed: psi",
        "conditionals/crossed.py",
        "ratio = power * (math.log1p(new_square / T_DF) - math.log1p(old_square / T_DF))",
        "ratio = 0.0 * power",
    ),
    "map from where the effects are": Fault(
        "crossed: psi",
        "conditionals/levels.py",
        "_where(sure[:groups], sums[k, :groups], h[k, :groups], b[k, place:end])",
        "_where(sure[:groups], sums[k, :groups] + u[k, place:end], h[k, :groups], b[k, place:end])",
    ),
    "Laplace priors twice": Fault(
        "crossed: coefficients along a factor",
        "conditionals/directions.py",
        "return density + 0.5 * normals[1] * distance * distance",
        "return density",
    ),
    "effects moved the wrong way": Fault(
        "crossed: coefficients along a factor",
        "conditionals/directions.py",
        "own[g] -= d[a] * w[g]",
        "own[g] += d[a] * w[g]",
    ),
    "no way back of the coefficients": Fault(
        "crossed: loose coefficients",
        LOOSE,
        "ratio -= 0.5 * total * total",
        "ratio -= 0.0 * total * total",
    ),
    "no way back of the dispersion": Fault(
        "crossed: shape",
        LOOSE,
        "ratio += 0.5 * P * (noise * noise - back * back)",
        "ratio += 0.5 * P * noise * noise",
    ),
    "dispersion without the slope of its prior": Fault(
        "crossed: size",
        LOOSE,
        "gradient = score[size] + dispersion_slope(kind, prior[1], prior[2], prior[3], x)",
        "gradient = score[size]",
    ),
    "sigma without its prior": Fault(
        "crossed: sigma",
        LOOSE,
        "ratio -= dispersion_logpdf(kind, prior[1], prior[2], prior[3], log_phi)\n    if",
        "ratio = 0.0\n    if",
    ),
    "nested without log det": Fault(
        "crossed: nested, child",
        "conditionals/nested.py",
        "log_M += math.log(M[k, k])",
        "log_M += 0.0 * math.log(M[k, k])",
    ),
    "no Hastings ratio of coefficients": Fault(
        "classical: iwls of beta", THETA, "ratio += back - forward", "ratio += 0.0"
    ),
    "walk without the prior": Fault(
        "classical: walk of beta",
        THETA,
        "    ratio = log_prior(data.prior, trial, members) "
        "- log_prior(data.prior, state.theta, members)\n    ratio += try",
        "    ratio = 0.0\n    ratio += try",
    ),
    "Sigma's ratio with the wrong sign": Fault(
        "classical: walk of Sigma",
        "conditionals/classical_sigma.py",
        "ratio = -centring._given_u(",
        "ratio = centring._given_u(",
    ),
    "Student's prior forgotten": Fault(
        "classical: centred beta",
        CENTRING,
        "ratio -= _beyond_normal(prior, mean, precision, old[a])",
        "ratio -= 0.0",
    ),
    "correlations of the proposal": Fault(
        "classical: nearly exact Sigma",
        CENTRING,
        "power = cov.eta[block] - 1.0 + 0.5 * q",
        "power = cov.eta[block] - 1.0",
    ),
    "sds of two groups": Fault(
        "classical: nearly exact sds",
        CENTRING,
        "proposed = math.sqrt(0.5 * sums[k, k] / gamma(random, 0.5 * (J - 1.0)))",
        "proposed = math.sqrt(0.5 * sums[k, k] / gamma(random, 0.5))",
    ),
    "no way back of the effects": Fault(
        "classical: iwls of u",
        EFFECTS,
        "add(weight, work.number[OLD_WEIGHT], -1.0)",
        "add(weight, work.number[OLD_WEIGHT], 0.0)",
    ),
    "effects without their prior": Fault(
        "classical: walk of u",
        EFFECTS,
        "_add_squares(weight, v, 0.5)",
        "_add_squares(weight, v, 0.0)",
    ),
    "more steps out to the right": Fault(
        "classical: slice of a coefficient", THETA, "STEPS_OUT - 1 - room", "STEPS_OUT - 1"
    ),
    "a slice about where it is": Fault(
        "classical: slice of Sigma",
        CENTRING,
        "left = start - width * uniform(random)",
        "left = start - width * (0.5 + 0.0 * uniform(random))",
    ),
    "a slice shrunk on the wrong side": Fault(
        "classical: slice of the shape", THETA, "if t < start:", "if t > start:"
    ),
    "a slice without the prior": Fault(
        "classical: sd, effects along",
        "conditionals/classical_scales.py",
        "return own + total_of(out)",
        "return total_of(out)",
    ),
    "density alone": Fault(
        "hmc", "samplers/hmc.py", "gain = start - energy", "gain = value - chain.value[0]"
    ),
    "halves of a subtree alike": Fault(
        "nuts, long steps",
        NUTS,
        "np.exp(trees.drawn[right, LOG_WEIGHT] - weight)",
        "0.5",
    ),
    "no look within a subtree": Fault(
        "nuts, long steps",
        NUTS,
        "turned = merge(trees, top, chain.inverse_metric, chain.random) or turned",
        "turned = merge(trees, top, chain.inverse_metric, chain.random) and turned",
    ),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return plain_copy(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("name", STEPS)
def test_flows_are_equal(name, plain):
    found, askers = result_of(name, plain)
    assert found <= MOST
    assert {place for place, step in SHOWN.items() if step == name} <= askers


def test_every_function_that_draws_uniforms_is_shown():
    root, found = Path(bayesglmm.__file__).parent, set()
    for path in (*root.glob("conditionals/*.py"), *root.glob("samplers/*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = {
                call.func.id
                for call in ast.walk(node)
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
            }
            if isinstance(node, ast.FunctionDef) and names & {"uniform", "fill_uniforms"}:
                found.add(f"{path.parent.name}.{path.stem}.{node.name}")
    assert found == set(SHOWN)
    assert set(SHOWN.values()) <= set(STEPS)


@pytest.mark.parametrize("fault", FAULTS)
def test_broken_copies_are_caught(fault, tmp_path):
    step, *change = FAULTS[fault]
    load = plain_copy(tmp_path, change)
    try:
        found, _ = result_of(step, load)
    except Broken:
        return  # it does not even arrive where it says
    assert found > 1e-3
