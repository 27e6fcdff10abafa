"""Pseudo-likelihood: a generalized linear mixed model as a linear one, again and again.

About the current coefficients and effects the model is linearized (Wolfinger and O'Connell 1993):
the working response z = eta + (y - mu) g'(mu) has the weights w / (V(mu) g'(mu)^2). The linear
mixed model for z is fitted by REML (``rspl``) or ML (``mspl``), and so on until nothing moves. This
is what SAS's GLIMMIX does by default. The residual variance of z is 1 for a family without
dispersion, or estimated with all else (over-dispersion); a family's own dispersion follows from it.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import families
from ..covariance import factors
from ..density import Data
from ..errors import DataError
from .linear import (
    Linear,
    Solution,
    conditional_variances,
    covariance_of,
    dependent,
    solve,
    words,
)
from .mode import Start, first_guess
from .outcome import Outcome
from .weighted import COLLINEAR

ROUNDS = 200  # linearizations; 5 to 15 are the rule
PATIENCE = 20  # rounds after which steps are halved, so that a cycle ends
CLOSE = 1e-8  # change of eta, of psi and of the log of the scale that counts as none
FARTHEST = 300.0  # of eta from its offset: beyond, every exp overflows or is 0
HALVINGS = 30
LITTLE = 1e-3  # relative change of phi that shows how the weights depend on it


class Working(NamedTuple):
    """A linearization."""

    response: np.ndarray  # (n,) without the offset
    weight: np.ndarray  # (n,)


class _Linearizer:
    """Working responses of one model."""

    def __init__(self, rows, data: Data) -> None:
        self.rows, self.data = rows, data
        self.used = data.obs.w > 0.0
        self.score, self.weight, self.spare = np.empty((3, data.obs.y.size))

    def at(self, eta: np.ndarray, phi: float) -> Working | None:
        """Linearize at eta (n,); None outside of the link's domain."""
        obs = self.data.obs
        self.rows(families.LOGLIK, eta, obs.y, obs.w, phi, self.score, *[self.spare] * 3)
        if not np.all(np.isfinite(self.score[self.used])):
            return None
        self.rows(
            families.IWLS, eta, obs.y, obs.w, phi, self.score, self.weight, self.spare, self.spare
        )
        weight = np.where(self.used, self.weight, 0.0)
        known = weight > 0.0
        step = np.where(known, self.score / np.where(known, weight, 1.0), 0.0)
        if not (np.all(np.isfinite(weight)) and np.all(np.isfinite(step))):
            return None
        return Working(eta - obs.offset + step, weight)

    def power(self, eta: np.ndarray, phi: float) -> float:
        """k, if the weights are proportional to phi^k.

        Raises
        ------
        DataError
            If they are not: then the residual variance does not tell phi.
        """
        here, there = self.at(eta, phi), self.at(eta, phi * (1.0 + LITTLE))
        assert here is not None and there is not None
        ratio = there.weight[self.used] / here.weight[self.used]
        if np.ptp(ratio) > 1e-6 * LITTLE * np.max(ratio):
            raise DataError(
                "pseudo-likelihood cannot estimate the dispersion of this family, which is more "
                "than a factor of the variance; use method='laplace' or 'aghq'"
            )
        return float(np.log(ratio[0]) / np.log1p(LITTLE))


def fit(
    rows,
    data: Data,
    start: Start,
    method: str = "rspl",
    scale: str = "fixed",
    total: float | None = None,
) -> Outcome:
    """Fit by pseudo-likelihood.

    Parameters
    ----------
    rows : compiled row function of the family
    data : Data
    start : Start
    method : {"rspl", "mspl"}
        REML or ML of the linearized model.
    scale : {"fixed", "estimate"}
        For a family without dispersion: whether the variance may be a multiple of the family's
        (over-dispersion); the multiple is the outcome's ``scale``. A family with a dispersion
        always has it estimated.
    total : float, optional
        Number of observations, the sum of their frequencies; the number of rows if not given.

    Returns
    -------
    Outcome
        The value is the pseudo-log-likelihood of the last linearized model, the constants of the
        normal distribution included; for ``rspl`` that of the scaled columns of X.

    Raises
    ------
    ValueError
        For another method or scale.
    DataError
        For columns of X that are dependent, or a dispersion that is more than a scale.
    """
    if method not in ("rspl", "mspl"):
        raise ValueError(f"method has to be 'rspl' or 'mspl', not {method!r}")
    if scale not in ("fixed", "estimate"):
        raise ValueError(f"scale has to be 'fixed' or 'estimate', not {scale!r}")
    restricted, own = method == "rspl", data.prior.phi.shape[0] > 0
    if own and scale == "estimate":
        raise DataError("this family has a dispersion of its own; there is no scale besides it")
    estimated = own or scale == "estimate"
    if total is None:
        total = float(np.count_nonzero(data.obs.w > 0.0))
    linearizer, linear = _Linearizer(rows, data), Linear.of(data)
    guess, _ = first_guess(rows, data, start)
    p, m = data.obs.X.shape[0], data.prior.covariance.row.size
    phi = math.exp(guess[p + m]) if own else 1.0
    eta = data.obs.offset + guess[:p] @ data.obs.X
    working = linearizer.at(eta, phi)
    if working is None:
        eta = data.obs.offset + start.beta @ data.obs.X
        working = linearizer.at(eta, phi)
    if working is None:
        raise DataError("the model has no likelihood where the search begins; check the link")
    power = linearizer.power(eta, phi) if own else 0.0

    last: Solution | None = None
    solution = solve(linear, *working, total, restricted, estimated)
    if solution.code == COLLINEAR:
        raise dependent()
    weight, evaluations, settled = working.weight, solution.evaluations, False
    for count in range(ROUNDS):
        new_eta = predictor(data, solution)
        if own:
            phi *= solution.s2 ** (-1.0 / power)
        change = _change(solution, last, new_eta - eta)
        if change < CLOSE:
            settled = True
            break
        moved = _step(linearizer, eta, new_eta, phi, 1.0 if count < PATIENCE else 0.5)
        if moved is None:
            break
        eta, working = moved
        # From an sd of 0 no search gets away: then it begins anew.
        last = solution
        again = last if not np.any(last.boundary) else None
        found = solve(linear, *working, total, restricted, estimated, again)
        if found.code == COLLINEAR:
            break
        solution, weight = found, working.weight
        evaluations += found.evaluations
    return _outcome(
        linear, weight, solution, method, scale, total, phi, power, settled, evaluations
    )


def predictor(data: Data, solution: Solution) -> np.ndarray:
    """Linear predictor (n,) of all rows at the modes."""
    L = factors(data.prior.covariance, solution.psi)
    eta = data.obs.offset + solution.beta @ data.obs.X
    for k in range(data.factor.size):
        own = np.zeros(int(data.levels[data.factor[k]]))
        for l in range(k + 1):
            if L[k, l] != 0.0:
                place = int(data.effect[l])
                own += L[k, l] * solution.modes[place : place + own.size]
        eta += data.obs.Z[k] * own[data.level[data.factor[k]]]
    return np.asarray(eta)


def _change(solution: Solution, last: Solution | None, moved: np.ndarray) -> float:
    """How much moved since the last linearization; what lies at a boundary does not count."""
    if last is None:
        return math.inf
    inner = ~(solution.boundary & last.boundary)
    psi = np.abs(solution.psi - last.psi)[inner]
    scale = abs(math.log(max(solution.s2, 1e-300) / max(last.s2, 1e-300)))
    return max(float(np.abs(moved).max()), float(psi.max(initial=0.0)), scale)


def _step(
    linearizer: _Linearizer, eta: np.ndarray, target: np.ndarray, phi: float, share: float
) -> tuple[np.ndarray, Working] | None:
    """Move towards the target, as far as the link's domain allows."""
    for _ in range(HALVINGS):
        new = eta + share * (target - eta)
        if np.abs(new - linearizer.data.obs.offset).max() > FARTHEST:
            # Only a log-like link needs a bound; measurements may be as large as they are.
            if linearizer.data.prior.phi.shape[0] == 0:
                return None
        working = linearizer.at(new, phi)
        if working is not None:
            return new, working
        share *= 0.5
    return None


def _outcome(
    linear: Linear,
    weight: np.ndarray,
    solution: Solution,
    method: str,
    scale: str,
    total: float,
    phi: float,
    power: float,
    settled: bool,
    evaluations: int,
) -> Outcome:
    data, restricted = linear.data, method == "rspl"
    own = data.prior.phi.shape[0] > 0
    estimated = own or scale == "estimate"
    # log phi = -log(s2) / power, log of the scale = log(s2)
    per_scale = -2.0 / power if own else 2.0
    covariance, definite, gain = covariance_of(solution, estimated, per_scale)
    theta = [solution.beta, solution.psi]
    if own:
        theta.append(np.array([math.log(max(phi, 1e-300))]))
    elif estimated:
        theta.append(np.array([math.log(max(solution.s2, 1e-300))]))
    dof = total - (solution.beta.size if restricted else 0)
    used = weight > 0.0
    value = solution.value + 0.5 * float(np.log(weight[used]).sum())
    said = list(words(solution, definite)) if settled else []
    if not settled:
        said.append(
            f"the linearizations did not settle in {ROUNDS} rounds, or led out of the numbers: "
            "these are no estimates; look for separation, or use method='laplace'"
        )
    return Outcome(
        method,
        np.concatenate(theta),
        covariance,
        value - 0.5 * dof * math.log(2.0 * math.pi),
        settled and solution.converged,
        definite,
        gain,
        evaluations,
        solution.modes,
        conditional_variances(linear, weight, solution),
        solution.boundary,
        restricted=restricted,
        scale=scale == "estimate",
        warnings=tuple(said),
    )
