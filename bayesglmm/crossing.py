"""Where a curve of effects has a given size: of a fit with its limits, of a posterior by draw."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from . import wald
from .errors import DataError
from .fits.degrees import hypothesis
from .quantities import Drawn, Estimates
from .summary import shortest_interval
from .tables import Table

if TYPE_CHECKING:
    import pandas

    from .derived import Derived

KNOTS = 200  # at which the design is evaluated; between them a cubic spline stands for it
SEARCH = 1000  # points between which a curve's changes of sign are looked for
BISECTIONS = 60  # halvings of such an interval: to the last digit
CHUNK = 500  # draws whose curves are held at once
ROUNDING = 1e-10  # of the largest coefficient of a comparison: less is 0

Rows = Callable[[Sequence[float]], np.ndarray]  # values along the curve to rows (m, p)


@dataclass(frozen=True, eq=False)
class Crossing:
    """Where a curve has a given size.

    Attributes
    ----------
    title : str
    comparisons : tuple of str
        A row each.
    within : (float, float)
        Between these values it was looked for.
    found : tuple of dict
        The columns of `table` of each row; of a posterior also ``draws`` (chains, draws), nan where
        a draw's curve does not cross.
    """

    title: str
    comparisons: tuple[str, ...]
    within: tuple[float, float]
    found: tuple[dict[str, Any], ...]

    @property
    def draws(self) -> np.ndarray:
        """Draws (chains, draws, rows) of a posterior's crossings, nan where there is none."""
        return np.stack([row["draws"] for row in self.found], axis=-1)

    def table(self) -> Table:
        """Where the curves cross.

        Of a fit: ``estimate``, ``se`` by the delta method, and limits where the band crosses
        (Fieller's, which need not be finite: nan where the band does not cross within the range).
        Of a posterior: ``mean sd median`` and limits of the draws that cross, and their ``share``.
        """
        keys = [key for key in self.found[0] if key != "draws"]
        columns = {key: np.array([row[key] for row in self.found]) for key in keys}
        return Table(self.comparisons, columns)

    def frame(self) -> "pandas.DataFrame":
        """Return `table` as a data frame."""
        return self.table().frame()

    def __str__(self) -> str:
        low, high = self.within
        if "share" in self.found[0]:
            note = "share: of the draws, that cross; the other columns are of these"
        else:
            note = "limits: where the band crosses; - where it does not"
        table = str(self.table()).splitlines()
        lines = [self.title, *(f"  {line}" for line in table)]
        return "\n".join([*lines, f"  (looked for between {low:g} and {high:g}; {note})"])


def of_draws(
    rows: Rows, within: tuple[float, float], target: float, result: "Derived", made: Drawn
) -> dict[str, Any]:
    """Columns of `Crossing.table` for one curve of a posterior, and the draws."""
    from .posterior import Posterior

    assert isinstance(result, Posterior)
    x, smooth = _spline(rows, within)
    beta = result.values["beta"]
    flat = beta.reshape(-1, beta.shape[-1])
    found = np.full(flat.shape[0], np.nan)
    L = smooth(x)
    for start in range(0, flat.shape[0], CHUNK):
        own = flat[start : start + CHUNK]
        above = L @ own.T > target
        change = above[1:] != above[:-1]
        has = change.any(axis=0)
        first = change.argmax(axis=0)[has]
        excess = partial(_excess, smooth, own[has], target)
        found[start : start + CHUNK][has] = _roots(excess, x[first], x[first + 1])
    low, high = wald.percentages(made.ci_prob)
    if made.ci_kind == "hdi":
        low, high = f"hdi_{low}", f"hdi_{high}"
    columns = dict.fromkeys(("mean", "sd", "median", low, high), np.nan)
    crossing = np.sort(found[~np.isnan(found)])
    if crossing.size > 1:
        tail = 0.5 * (1.0 - made.ci_prob)
        if made.ci_kind == "hdi":
            ends = [end[0] for end in shortest_interval(crossing[:, None], made.ci_prob)]
        else:
            ends = np.quantile(crossing, [tail, 1.0 - tail]).tolist()
        values = (crossing.mean(), crossing.std(ddof=1), np.median(crossing), *ends)
        columns = dict(zip(columns, map(float, values), strict=True))
    share = crossing.size / found.size
    return {**columns, "share": share, "draws": found.reshape(beta.shape[:2])}


def of_estimate(
    rows: Rows, within: tuple[float, float], target: float, result: "Derived", made: Estimates
) -> dict[str, float]:
    """Columns of `Crossing.table` for one curve of a fit."""
    from .likelihood_fit import Fit

    assert isinstance(result, Fit)
    x, smooth = _spline(rows, within)
    beta, V = result.beta, result.beta_covariance
    low, high = wald.percentages(made.level)
    found = {"estimate": np.nan, "se": np.nan, low: np.nan, high: np.nan}
    excess = partial(_excess, smooth, beta, target)
    above = excess(x) > 0.0
    change = np.flatnonzero(above[1:] != above[:-1])
    if not change.size:
        return found
    at = _roots(excess, x[change[:1]], x[change[:1] + 1])
    L = smooth(at)[0]
    slope = float((smooth(at, 1) @ beta)[0])
    involved = np.where(np.abs(L) > ROUNDING * np.abs(L).max(), L, 0.0)
    half = float(wald.quantile(made.level, np.array([hypothesis(result.df, involved)]))[0])
    found["estimate"], found["se"] = float(at[0]), float(np.sqrt(L @ V @ L) / abs(slope))

    def outside(points: np.ndarray) -> np.ndarray:
        """Positive where the band does not hold the target."""
        L = smooth(points)
        variance = np.einsum("ij,jk,ik->i", L, V, L)
        return np.asarray((L @ beta - target) ** 2 - half**2 * variance)

    gone = outside(x) > 0.0
    below, over = np.flatnonzero(gone & (x < at[0])), np.flatnonzero(gone & (x > at[0]))
    if below.size:
        k = below[-1]
        found[low] = float(_roots(outside, x[k : k + 1], np.minimum(x[k + 1 : k + 2], at))[0])
    if over.size:
        k = over[0]
        found[high] = float(_roots(outside, x[k : k + 1], np.maximum(x[k - 1 : k], at))[0])
    return found


def _spline(rows: Rows, within: tuple[float, float]) -> tuple[np.ndarray, Any]:
    """Points to look at, and the rows of the comparison as a smooth function of the value."""
    from scipy.interpolate import CubicSpline

    low, high = within
    if not low < high:
        raise DataError("a crossing needs a range: give at least two values of over")
    knots = np.linspace(low, high, KNOTS)
    if low > 0.0:  # so that both ends of log(x) are alike
        knots = np.geomspace(low, high, KNOTS)
    knots[0], knots[-1] = low, high
    x = np.interp(np.linspace(0, KNOTS - 1, SEARCH), np.arange(KNOTS), knots)
    return x, CubicSpline(knots, rows(knots.tolist()))


def _excess(smooth: Any, beta: np.ndarray, target: float, points: np.ndarray) -> np.ndarray:
    """Effect less the target at points, for coefficients (p,) or (points, p)."""
    return np.asarray((smooth(points) * beta).sum(axis=-1) - target)


def _roots(f: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Bisect between places where f has different signs, all at once."""
    left = np.sign(f(low))
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        same = np.sign(f(middle)) == left
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return np.asarray(0.5 * (low + high))
