"""Maximum likelihood by adaptive Gauss-Hermite quadrature, one grouping factor."""

from operator import index

import numpy as np

from ..density import Data
from ..errors import DataError
from . import laplace, mode
from .aghq import nodes as product_rule
from .boundary import at_boundary, restricted_inverse
from .gauss_hermite import evaluate
from .mode import Start
from .optimizer import Search
from .outcome import Outcome

METHOD = "aghq"
NODES = {1: 25, 2: 9, 3: 5}  # nodes a dimension: 25, 81 and 125 nodes a group
MOST_NODES = 500  # beyond 700, densities at the outer nodes underflow
FEWEST_SD = 0.1  # of the response's spread: where the search begins if Laplace's sd is 0
FAR = 0.1  # standard errors by which more nodes may move an estimate before a warning


class Objective(mode.Objective):
    """The quadrature of one model, which remembers the modes it found last."""

    def __init__(self, rows, data: Data, nodes: int, spread: float = 1.0) -> None:
        super().__init__(rows, data, False, spread)
        self.nodes, self.log_weights = product_rule(data.factor.size, nodes)

    def _evaluate(
        self, search: Search, points: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        k = points.shape[0]
        values, gradients, found = np.empty(k), np.empty((k, self.d)), np.empty((k, self.v.size))
        evaluate(
            self.rows,
            self.data,
            self.nodes,
            self.log_weights,
            search,
            np.ascontiguousarray(points),
            values,
            gradients,
            found,
            self.v,
            self.blocks,
        )
        return values, gradients, found


def fit(rows, data: Data, start: Start, nodes: int | None = None) -> Outcome:
    """Maximize the quadrature of the marginal likelihood, beginning at Laplace's fit.

    Parameters
    ----------
    rows : compiled row function of the family
    data : Data
        One grouping factor, at most three effects a level.
    start : Start
        Where the search begins.
    nodes : int, optional
        Nodes a dimension; 25, 9 or 5 for one, two or three effects if not given. One node is
        Laplace's approximation.

    Raises
    ------
    DataError
        Where there are no, or crossed or nested, factors, or more than three effects a level; and
        for a number of nodes that is not an integer from 1 to 500.
    """
    nodes = _checked(data, nodes)
    first = mode.find(rows, data, False, start)
    objective = Objective(rows, data, nodes, start.spread)
    objective.v = first.map.modes.copy()
    longest = mode.longest_steps(data, start)
    optimum = objective.climb(first.theta, first.covariance, longest)
    evaluations = optimum.evaluations
    lifted = _lifted(data, first.theta, start.spread)
    if np.any(lifted != first.theta):
        other = objective.climb(lifted, np.diag(np.diag(first.covariance)), longest)
        evaluations += other.evaluations
        optimum = other if other.value > optimum.value else optimum
    best = mode.describe(objective, optimum)
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    boundary = at_boundary(data, best.theta[p : p + m], start.spread)
    outer = np.concatenate([boundary, np.full(int(best.endless), True)])
    covariance, definite = restricted_inverse(best.hessian, outer, p, best.units)
    return Outcome(
        METHOD,
        best.theta,
        covariance,
        best.value,
        best.converged,
        definite,
        0.5 * float(best.gradient @ covariance @ best.gradient),
        evaluations,
        best.map.modes,
        lambda: laplace.variances(best, data),
        boundary,
        warnings=_enough(objective, nodes, best, covariance),
        nodes=nodes,
        endless=best.endless,
    )


def _checked(data: Data, nodes: int | None) -> int:
    """Number of nodes a dimension, or a refusal."""
    if data.levels.size == 0:
        raise DataError(
            "quadrature integrates random effects out, and this model has none; "
            "fit it with method='glm'"
        )
    if data.levels.size > 1:
        raise DataError(
            "quadrature needs effects that are independent from group to group, and those of "
            f"{data.levels.size} crossed or nested factors are not; fit with method='laplace'"
        )
    q = data.factor.size
    if q > max(NODES):
        raise DataError(
            f"quadrature takes at most {max(NODES)} effects a group, for the nodes multiply with "
            f"every one; this model has {q}. Fit with method='laplace'"
        )
    if nodes is None:
        return NODES[q]
    try:
        count = 0 if isinstance(nodes, bool) else index(nodes)
    except TypeError:
        count = 0
    if not 1 <= count <= MOST_NODES:
        raise DataError(f"nodes has to be a positive integer up to {MOST_NODES}, not {nodes!r}")
    return count


def _lifted(data: Data, theta: np.ndarray, spread: float) -> np.ndarray:
    """Theta with sds that are all but 0 made large enough for the search to leave them."""
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    out = theta.copy()
    psi = out[p : p + m]
    low = at_boundary(data, psi, spread)
    diagonal = data.prior.covariance.row == data.prior.covariance.col
    psi[low & diagonal] = np.log(FEWEST_SD * spread)
    psi[low & ~diagonal] = 0.0
    return out


def _enough(
    objective: Objective, nodes: int, best: mode.Mode, covariance: np.ndarray
) -> tuple[str, ...]:
    """A warning where more nodes would move an estimate, by one Newton step of their objective."""
    if nodes == 1:
        return ()
    more = 2 * nodes + 1 if objective.data.factor.size == 1 else nodes + 4
    more = min(more, MOST_NODES)
    finer = Objective(objective.rows, objective.data, more)
    finer.v = best.map.modes.copy()
    change = covariance @ (finer(best.theta)[1] - best.gradient)
    se = np.sqrt(np.diag(covariance))
    moved = float(np.max(np.abs(change[se > 0.0]) / se[se > 0.0], initial=0.0))
    if not moved > FAR:
        return ()
    return (
        f"{nodes} nodes are too few: with {more} an estimate would move by about {moved:.2g} "
        f"standard errors; fit with nodes={more} or more",
    )
