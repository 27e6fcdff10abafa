"""Profile-likelihood limits and curves of a fit's parameters, on the user's scale."""

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import covariance, wald
from .errors import ConvergenceWarning, DataError
from .fits import glm, mode, profile, quadrature
from .fits.boundary import FAR, ONE, ZERO_SD
from .tables import Table
from .wording import shown_levels

if TYPE_CHECKING:
    from .likelihood_fit import Fit

NEGLIGIBLE = 1e-3  # of an sd that is 0: its variance then changes no log-likelihood noticeably
JACOBIAN_STEP = 1e-5  # of central differences in log sds and Fisher's z


@dataclass(frozen=True, eq=False)
class Row:
    """A row of the table as a linear function of the coordinates of an objective.

    The coordinates are theta, or what `Reordered` makes of it.
    """

    objective: profile.Objective
    theta: np.ndarray
    covariance: np.ndarray
    direction: np.ndarray
    longest: np.ndarray
    to_user: Callable[[float], float]
    lowest: float = -math.inf
    highest: float = math.inf


def limits(fit: "Fit", level: float = 0.95, names: Iterable[str] | None = None) -> Table:
    """Limits where twice the drop of the profile log-likelihood is the chi-square quantile.

    Parameters
    ----------
    fit : Fit
    level : float
    names : iterable of str, optional
        Rows of the fit's table; all that have a profile if not given: of REML, coefficients have
        none.

    Returns
    -------
    Table
        A row for each parameter: 0 and inf for an sd, -1 and 1 for a correlation, -inf and inf for
        a coefficient where an end does not exist; nan, with a `ConvergenceWarning`, where one was
        not found, and for correlations of an effect whose sd is 0.

    Raises
    ------
    DataError
        For a pseudo-likelihood, and for names without a profile.
    """
    half = float(wald.quantile(level, np.array([math.inf]))[0])
    rows = Rows(fit)
    chosen = rows.chosen(names)
    ends = np.full((2, len(chosen)), math.nan)
    with np.errstate(all="ignore"):  # values that overflow are rejected
        for i, name in enumerate(chosen):
            row = rows.row(name)
            if row is None:
                continue
            found = profile.limits(
                row.objective,
                row.theta,
                row.covariance,
                row.direction,
                row.longest,
                half,
                row.lowest,
                row.highest,
            )
            ends[:, i] = row.to_user(found.lower), row.to_user(found.upper)
            for note in found.notes:
                warnings.warn(f"{name}: {note}", ConvergenceWarning, stacklevel=4)
    low, high = wald.percentages(level)
    return Table(chosen, {low: ends[0], high: ends[1]})


def curve(fit: "Fit", name: str, reach: float = 2.8, points: int = 8) -> profile.Curve:
    """Signed root of the profile likelihood of one parameter, for plots.

    Parameters
    ----------
    fit : Fit
    name : str
        A row of the table.
    reach : float
        Largest size of the signed root, 1.96 for 95% limits.
    points : int
        Values on each side of the estimate, about.

    Returns
    -------
    profile.Curve
        ``value`` on the user's scale, ``zeta``, and ``slope``, d zeta / d value. It ends early
        where the signed root levels off.
    """
    rows = Rows(fit)
    (name,) = rows.chosen([name])
    row = rows.row(name)
    if row is None:
        raise DataError(f"{name} belongs to an effect whose sd is 0: it has no profile")
    with np.errstate(all="ignore"):
        found = profile.curve(
            row.objective,
            row.theta,
            row.covariance,
            row.direction,
            row.longest,
            reach,
            points,
            row.lowest,
            row.highest,
        )
    value = np.array([row.to_user(x) for x in found.value])
    step = JACOBIAN_STEP
    slopes = [(row.to_user(x + step) - row.to_user(x - step)) / (2.0 * step) for x in found.value]
    return found._replace(value=value, slope=found.slope / np.array(slopes))


class Rows:
    """The rows of a fit's table that have a profile, each as a `Row`."""

    def __init__(self, fit: "Fit") -> None:
        if fit.method in ("rspl", "mspl"):
            raise DataError(
                f"method {fit.method!r} has no likelihood to profile, for its working data change "
                "with the parameters; use method='wald', or fit with 'laplace'"
            )
        self.fit, self.model, self.names = fit, fit.model, fit.model.names
        rows, data, start, _, _ = fit.model.problem
        self.data, self.cov, self.start = data, data.prior.covariance, start
        self.p, self.m = data.obs.X.shape[0], self.cov.row.size
        matrix = fit.outcome.covariance
        theta = self._near_zero(fit.outcome.theta)
        longest = mode.longest_steps(data, start)
        kept = np.ones(theta.size, dtype=bool)
        self.objective: Any
        if fit.method == "glm":
            self.objective = glm.Likelihood(rows, data)
            kept[self.p : self.p + self.m] = False
        elif fit.method == "aghq" and fit.nodes is not None:
            self.objective = quadrature.Objective(rows, data, fit.nodes)
        else:
            self.objective = mode.Objective(rows, data, False)
        if fit.method != "glm":
            self.objective.v = fit.outcome.modes.copy()
        if fit.restricted:
            self.objective = profile.Restricted(self.objective, theta[: self.p])
            kept[: self.p] = False
        # Where the elements of the whole theta are among those of the objective.
        self.place = np.cumsum(kept) - 1
        self.kept = kept
        self.theta, self.covariance = theta[kept], matrix[np.ix_(kept, kept)]
        self.longest = longest[kept]

    def _near_zero(self, theta: np.ndarray) -> np.ndarray:
        """Theta with log sds no farther down than NEGLIGIBLE, however far a search has gone."""
        made = theta.copy()
        sds = self.p + np.flatnonzero(self.cov.row == self.cov.col)
        made[sds] = np.maximum(made[sds], math.log(NEGLIGIBLE * ZERO_SD * self.start.spread))
        return made

    def chosen(self, names: Iterable[str] | None) -> tuple[str, ...]:
        """Names of rows, checked."""
        fixed = () if self.fit.restricted else self.names.fixed
        possible = tuple(n for n in self.fit.names if n in fixed or n not in self.names.fixed)
        if names is None:
            return possible
        asked = (names,) if isinstance(names, str) else tuple(names)
        for name in asked:
            if name in self.fit.names and name not in possible:
                raise DataError(
                    f"the restricted likelihood says nothing of coefficients such as {name!r}; "
                    "fit with method='ml' to profile them"
                )
            if name not in possible:
                raise DataError(f"there is no row {name!r}; the rows are {shown_levels(possible)}")
        return asked

    def row(self, name: str) -> Row | None:
        """A row as a linear function; None for a correlation that means nothing."""
        if name in self.names.fixed:
            whole = np.eye(self.kept.size)
            effects = np.zeros((self.kept.size, self.fit.outcome.modes.size))
            slopes = self.model.to_user(whole, effects)["beta"]
            return self._linear(slopes[self.kept, self.names.fixed.index(name)], _same)
        if name in self.names.sd:
            k = self.names.sd.index(name)
            e = int(np.flatnonzero((self.cov.row == k) & (self.cov.col == k))[0])
            scale = float(self.model.z_scale[k])
            lowest = math.log(ZERO_SD * self.start.spread)
            return self._linear(self._unit(self.p + e), lambda x: _exp(x) / scale, lowest)
        if name in self.names.cor:
            return self._correlation(self.names.cor.index(name))
        # A dispersion without bound is FAR times what says no more already.
        highest = float(self.theta[-1]) + (0.0 if self.fit.outcome.endless else math.log(FAR))
        return self._linear(self._unit(self.kept.size - 1), _exp, -math.inf, highest)

    def _unit(self, element: int) -> np.ndarray:
        made = np.zeros(self.theta.size)
        made[self.place[element]] = 1.0
        return made

    def _linear(
        self,
        direction: np.ndarray,
        to_user: Callable[[float], float],
        lowest: float = -math.inf,
        highest: float = math.inf,
    ) -> Row:
        return Row(
            self.objective,
            self.theta,
            self.covariance,
            direction,
            self.longest,
            to_user,
            lowest,
            highest,
        )

    def _correlation(self, which: int) -> Row | None:
        """A correlation by Fisher's z: its own element, or the first of the effects reordered."""
        e = int(np.flatnonzero(self.cov.row != self.cov.col)[which])
        k, l = int(self.cov.row[e]), int(self.cov.col[e])
        zero = self.fit.outcome.boundary & (self.cov.row == self.cov.col)
        if np.isin([k, l], self.cov.row[zero]).any():
            return None
        block = int(np.searchsorted(self.cov.block_start, k, side="right")) - 1
        first, last = int(self.cov.block_start[block]), int(self.cov.block_start[block + 1])
        if (k, l) == (first + 1, first):
            return self._linear(self._unit(self.p + e), math.tanh, -ONE, ONE)
        order = [l, k, *(i for i in range(first, last) if i not in (k, l))]
        change = Reordered(self.cov, np.arange(first, last), np.array(order))
        where = self.place[self.p : self.p + self.m]
        theta = self.theta.copy()
        theta[where] = change.inverse(self.theta[where])
        jacobian = np.eye(theta.size)
        jacobian[np.ix_(where, where)] = change.jacobian(theta[where])
        back = np.linalg.inv(jacobian)

        def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
            inner = point.copy()
            try:
                inner[where] = change(point[where])
                slopes = change.jacobian(point[where])
            except np.linalg.LinAlgError:  # a correlation of 1 to working accuracy
                return -math.inf, np.zeros(point.size)
            value, gradient = self.objective(inner)
            turned = gradient.copy()
            turned[where] = slopes.T @ gradient[where]
            return value, turned

        first_pair = (self.cov.row == first + 1) & (self.cov.col == first)
        return Row(
            objective,
            theta,
            back @ self.covariance @ back.T,
            self._unit(self.p + int(np.flatnonzero(first_pair)[0])),
            self.longest,
            math.tanh,
            -ONE,
            ONE,
        )


class Reordered:
    """Psi of the same covariances with the effects of one block in another order.

    Only the correlation of a block's first two effects is an element of psi.
    """

    def __init__(self, cov: covariance.Covariance, block: np.ndarray, order: np.ndarray) -> None:
        self.cov, self.block, self.order = cov, block, order

    def __call__(self, psi: np.ndarray) -> np.ndarray:
        """Psi of the model from that of the other order."""
        return self._moved(psi, self.order, self.block)

    def inverse(self, psi: np.ndarray) -> np.ndarray:
        """Psi of the other order from the model's."""
        return self._moved(psi, self.block, self.order)

    def jacobian(self, psi: np.ndarray) -> np.ndarray:
        """Derivatives of the model's psi, (m, m)."""
        moves = JACOBIAN_STEP * np.eye(psi.size)
        columns = [(self(psi + move) - self(psi - move)) / (2.0 * JACOBIAN_STEP) for move in moves]
        return np.array(columns).T

    def _moved(self, psi: np.ndarray, to: np.ndarray, of: np.ndarray) -> np.ndarray:
        L = covariance.factors(self.cov, psi)
        Sigma = L @ L.T
        own = np.ix_(to, to)
        turned = Sigma.copy()
        turned[own] = Sigma[np.ix_(of, of)]
        factor = L.copy()
        block = np.ix_(self.block, self.block)
        factor[block] = np.linalg.cholesky(turned[block])
        return covariance.coordinates(self.cov, factor)


def _same(x: float) -> float:
    return x


def _exp(x: float) -> float:
    return math.inf if x == math.inf else math.exp(x)
