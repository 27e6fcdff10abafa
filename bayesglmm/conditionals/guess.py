"""The choice of the transport: a Newton step at each theta, or moments that are linear in theta.

With many groups theta is known so well that the means and covariances of the effects are linear in
it as far as the posterior reaches. Then no Newton step is needed, which halves the passes over the
data; and moments are better than modes where a group's posterior is skewed (binary responses with a
large sd: few proposals would be accepted). With few groups, or where an sd may be near 0, the step
is better. Nor does a linear map serve where a chain goes now and then, and is not let back: it must
hold in the tails too.
"""

from collections.abc import Callable

import numpy as np

from ..density import Data, Map
from ..fits import aghq
from ..fits.effect_moments import Linear, Moments, divergence, triangles
from ..fits.mode import Objective
from .passes import Guess

FEW_GROUPS = 40  # up to here always the Newton step
VAGUE = 0.3  # sd of an element of psi (a log sd, say) from which on moments are not linear
NODES = {1: 15, 2: 5, 3: 3}  # a dimension
CHECKS, REACH = 6, 1.5  # draws of theta at which maps are judged, in posterior sds
CLOSE = 0.3  # sum over groups of divergences that costs less than the Newton steps do
FAR = (2.5, 4.0, 6.0, 9.0, 13.0, 18.0, 25.0)  # posterior sds at which tails are looked at
UNVISITED = 12.0  # fall of the log density beyond which no chain goes
# A chain leaves a tail in about the exponential of the divergence there, and comes there the less
# often the lower the density: the divergence allowed is the fall of the log density less MARGIN.
MARGIN = 3.0

Step = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def newton(map: Map) -> Guess:
    """Return the guess from which a Newton step leads to the modes."""
    return Guess(map.center, map.modes, map.slopes, np.zeros((1, 1, 0), dtype=np.float32))


def choose(rows, data: Data, map: Map, covariance: np.ndarray, step: Step) -> Guess:
    """Return the better guess.

    Parameters
    ----------
    rows, data : compiled row function, Data of one factor
    map : Map
        About the fit.
    covariance : (d, d) array
        Of theta.
    step : callable
        What the Newton step makes of a theta: m (q, J) and C (q, q, J).
    """
    q, J, d = data.factor.size, int(data.levels[0]), map.center.size
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    vague = float(np.sqrt(np.diag(covariance)[p : p + m].max(initial=0.0))) > VAGUE
    if J <= FEW_GROUPS or vague or q not in NODES:
        return newton(map)
    known = Moments(rows, data, map, np.linalg.cholesky(covariance), *aghq.nodes(q, NODES[q]))
    linear = known.linear()
    middle = known.at(np.zeros(d))
    m_first, first = _newton(step, map.center)
    # The moments of z at the center: a map is right as far as it keeps them.
    z_mean = np.einsum("jlk,lj->kj", first, middle[:q] - m_first)
    z_factor = np.linalg.solve(first, triangles(middle[q:], q))
    of_linear, of_newton = 0.0, 0.0
    for away in REACH * np.random.default_rng(0).normal(size=(CHECKS, d)):
        actual, change = known.at(away), known.scale @ away
        mean, C = actual[:q], triangles(actual[q:], q)
        m_there, C_there = _newton(step, map.center + change)
        back = np.linalg.solve(np.swapaxes(C_there, 1, 2), z_mean.T[:, :, None])[..., 0].T
        of_newton += divergence(mean, C, m_there + back, C_there @ z_factor) / CHECKS
        of_linear += divergence(mean, C, *_of(linear, change, q)) / CHECKS
    if not of_linear < max(CLOSE, of_newton) or not _holds_in_tails(known, linear, covariance, p):
        return newton(map)
    return Guess(map.center, linear.means, linear.slopes, linear.factors)


def _of(linear: Linear, change: np.ndarray, q: int) -> tuple[np.ndarray, np.ndarray]:
    """Means (q, J) and factors (J, q, q) of linear moments where theta has changed."""
    factors = linear.factors[0] + np.tensordot(change, linear.factors[1:], 1)
    return (linear.means + change @ linear.slopes).reshape(q, -1), triangles(factors, q)


def _holds_in_tails(known: Moments, linear: Linear, covariance: np.ndarray, p: int) -> bool:
    """Whether linear moments hold as far as psi and log phi may go, others as they go with them."""
    map, q = known.map, known.q
    objective = Objective(known.rows, known.data, True)
    highest, _ = known.about(np.zeros(map.center.size), map.modes, map.blocks)
    for e in range(p, map.center.size):
        along = covariance[:, e] / np.sqrt(covariance[e, e])
        for change in (along, -along):
            objective.v = map.modes.copy()
            for far in FAR:
                if not np.isfinite(objective(map.center + far * change)[0]):
                    break
                value, actual = known.about(far * change, objective.v, objective.blocks)
                fall = highest - value
                if not fall < UNVISITED:
                    break
                there = actual[:q], triangles(actual[q:], q)
                lost = divergence(*there, *_of(linear, far * change, q))
                if lost > max(1.0, fall - MARGIN):
                    return False
    return True


def _newton(step: Step, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return m (q, J) and C (J, q, q) at theta; the upper triangles of `step` are not defined."""
    m, C = step(theta)
    return m, np.tril(np.moveaxis(C, -1, 0))
