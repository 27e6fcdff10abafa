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
from .weighted import COLLINEAR, PERFECT

ROUNDS = 200  # linearizations; 5 to 15 are the rule
PATIENCE = 20  # rounds after which steps are halved, and halved again, so that a cycle ends
SHORTEST = 0.05  # share of a step that is taken at least
CLOSE = 1e-7  # change that counts as none: of eta in residual sds, of the rest in standard errors
SAME = 1e-13  # change of working data, in units of their sds, that is rounding
NOTHING = 1e-30  # what is left of a variance that goes to 0
FARTHEST = 300.0  # of eta from its offset: beyond, every exp overflows or is 0
HALVINGS = 30
FAR = 4.0  # first change of eta, in spreads of the response, that asks for a better beginning
ROW_STEPS, ROW_CLOSE = 40, 0.01  # of the search for it
LITTLE = 1e-3  # relative change of phi that shows how the weights depend on it
UNSETTLED = (
    f"the linearizations did not settle in {ROUNDS} rounds, or led out of the numbers: these are "
    "no estimates; look for separation, or use method='laplace'"
)


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

    def saturated(self, eta: np.ndarray, spread: float) -> np.ndarray:
        """Each row's own predictor, shrunken to eta as by effects of the sd `spread`."""
        obs, found, precision = self.data.obs, eta.copy(), spread**-2
        for _ in range(ROW_STEPS):
            working = self.at(found, 1.0)
            if working is None:
                return eta
            towards = working.response + obs.offset - found
            step = working.weight * towards - precision * (found - eta)
            step /= working.weight + precision
            found = found + np.clip(step, -spread, spread)
            if np.abs(step).max(initial=0.0) < ROW_CLOSE * spread:
                break
        return found

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
    share, weight = _unit(working.weight, estimated)
    solution = solve(linear, working.response, weight, total, restricted, estimated, strict=True)
    if solution.code == COLLINEAR:
        raise dependent()
    if not own and np.abs(predictor(data, solution) - eta).max() > FAR * start.spread:
        # Working responses so far from their linearization tell little: begin at each row's own.
        eta = linearizer.saturated(eta, start.spread)
        working = linearizer.at(eta, phi) or working
        share, weight = _unit(working.weight, estimated)
        solution = solve(
            linear, working.response, weight, total, restricted, estimated, strict=True
        )
    evaluations, settled, before = solution.evaluations, False, math.inf
    for count in range(ROUNDS):
        if solution.code == PERFECT:
            phi *= NOTHING ** (-1.0 / power) if own else 1.0
            break
        new_eta = predictor(data, solution)
        multiple = max(share * solution.s2, 1e-300)  # of the family's variance
        if own:
            phi *= multiple ** (-1.0 / power)
        moved = abs(math.log(multiple) - (0.0 if own else before)) if estimated else 0.0
        before = math.log(multiple)
        change = _change(solution, last, np.sqrt(weight / solution.s2) * (new_eta - eta))
        if max(change, moved * math.sqrt(0.5 * total)) < CLOSE:
            settled = True
            break
        part = max(0.5 ** (count // PATIENCE), SHORTEST)
        step = _step(linearizer, eta, new_eta, phi, part)
        if step is None:
            break
        last = solution
        new_share, new_weight = _unit(step[1].weight, estimated)
        moved_response = np.abs(step[1].response - working.response) * np.sqrt(weight)
        if moved_response.max() < SAME and np.abs(new_weight - weight).max() < SAME * weight.max():
            settled = True  # as a linear model is at once
            break
        working = step[1]
        found = solve(
            linear, step[1].response, new_weight, total, restricted, estimated, last, True
        )
        if found.code == COLLINEAR:
            break
        eta, solution, share, weight = step[0], found, new_share, new_weight
        evaluations += found.evaluations
    if settled and not covariance_of(solution, estimated)[1]:
        # A variance that gains next to nothing is 0.
        solution = solve(linear, working.response, weight, total, restricted, estimated, solution)
    scales = _Scales(phi, power, share * solution.s2)
    return _outcome(linear, weight, solution, method, scale, total, scales, settled, evaluations)


class _Scales(NamedTuple):
    """What multiplies the variance of a family."""

    phi: float
    power: float  # of phi in the weights
    multiple: float  # residual variance in units of the family's


def _unit(weight: np.ndarray, estimated: bool) -> tuple[float, np.ndarray]:
    """A factor, and the weights divided by it, so that an estimated residual variance has no unit.

    Weights given up to a factor leave the fit as it is, but its search knows small from large.
    """
    used = weight > 0.0
    share = float(weight[used].mean()) if estimated and np.any(used) else 1.0
    return share, weight / share


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
    """How much moved since the last linearization, in units of what is known.

    Parameters
    ----------
    moved : ndarray, shape (n,)
        Change of eta in residual sds.
    """
    if last is None:
        return math.inf
    psi = np.where(solution.boundary, 0.0, solution.relative - last.relative)
    curve = float(psi @ solution.profiled @ psi)
    return max(float(np.abs(moved).max()), math.sqrt(max(curve, 0.0)))


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
    scales: _Scales,
    settled: bool,
    evaluations: int,
) -> Outcome:
    data, restricted = linear.data, method == "rspl"
    own = data.prior.phi.shape[0] > 0
    estimated = own or scale == "estimate"
    # log phi = -log(s2) / power, log of the scale = log(s2)
    per_scale = -2.0 / scales.power if own else 2.0
    covariance, definite, gain = covariance_of(solution, estimated, per_scale)
    theta = [solution.beta, solution.psi]
    if own:
        theta.append(np.array([math.log(max(scales.phi, 1e-300))]))
    elif estimated:
        theta.append(np.array([math.log(max(scales.multiple, 1e-300))]))
    dof = total - (solution.beta.size if restricted else 0)
    used = weight > 0.0
    value = solution.value + 0.5 * float(np.log(weight[used]).sum())
    unbounded, warnings = words(solution, definite)
    if not settled and solution.code != PERFECT:
        unbounded, warnings = (UNSETTLED,), ()
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
        warnings=warnings,
        unbounded=unbounded,
    )
