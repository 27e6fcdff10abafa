"""The pre-flight: what in the data and the arguments is refused or warned about, before compiling.

Each check takes plain arrays and costs a pass or two over the rows. A refusal raises DataError with
the column, the first rows and the remedy; what can be used all the same goes into `Findings`.
"""

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np

from bayesglmm.coding import counted, first_rows, shown_levels
from bayesglmm.columns import Rows
from bayesglmm.errors import DataError

# Part of a column that earlier columns must leave unexplained: R's tolerance in lm().
COLLINEAR = 1e-7
# Part of the response's spread that the fixed effects must leave for the error.
PERFECT_FIT = 1e-10
# exp() overflows beyond 709; one intercept cannot bring two rows this far apart into range.
MAX_OFFSET_RANGE = 700.0
EXACT_INTEGERS = 2.0**53  # float64 holds every whole number below it
_BLOCK = 65_536  # rows at a time in the QR decomposition, to hold no second X
_SHOWN_COLUMNS = 6

COUNTS = ("poisson",)
PROPORTIONS = ("bernoulli", "binomial")


@dataclass
class Findings:
    """What is worth saying: warnings, and notes that the printed model lists."""

    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """Add a warning, once."""
        if text not in self.warnings:
            self.warnings.append(text)


class Observed(NamedTuple):
    """The response as the checks see it."""

    family: str
    name: str
    y: np.ndarray
    trials: np.ndarray | None
    rows: Rows


class Grouping(NamedTuple):
    """A factor of groups as the checks see it."""

    name: str
    index: np.ndarray
    levels: int
    nested_name: bool  # written a:b


# --- missing values ------------------------------------------------------------------------------


def complete_rows(
    masks: Mapping[str, np.ndarray], size: int, missing: str
) -> tuple[Rows, dict[str, int]]:
    """Positions without a missing value (None for all), and how many each column lacks.

    Raises
    ------
    DataError
        If there are missing values and `missing` is ``"refuse"``, or no row would be left.
    """
    if missing not in ("refuse", "drop"):
        raise DataError(f"missing has to be 'refuse' or 'drop', not {missing!r}")
    if size == 0:
        raise DataError("the data have no rows")
    gone = {name: mask for name, mask in masks.items() if mask.any()}
    if not gone:
        return None, {}
    for name, mask in gone.items():
        if mask.all():
            raise DataError(f"column {name!r} has no usable value: all {size} are missing")
    if missing == "refuse":
        parts = [
            f"{name!r} in {counted(int(mask.sum()), 'row')} "
            f"({first_rows(np.flatnonzero(mask), None)})"
            for name, mask in gone.items()
        ]
        raise DataError(
            f"values are missing: {'; '.join(parts)}. Fill them in, or leave those rows out with "
            'missing="drop"'
        )
    rows = np.flatnonzero(~np.logical_or.reduce(list(gone.values())))
    if rows.size == 0:
        raise DataError(f"every row lacks a value in one of {', '.join(map(repr, gone))}")
    return rows, {name: int(mask.sum()) for name, mask in gone.items()}


# --- response, weights, offset -------------------------------------------------------------------


def response(observed: Observed, findings: Findings) -> None:
    """Domain of the response, and whether it varies at all."""
    family, name, y, trials, rows = observed
    if trials is not None and family not in ("binomial",):
        raise DataError(f'trials are for family="binomial"; this is family={family!r}')
    if family == "gaussian":
        _continuous(observed, findings)
    elif family in COUNTS:
        _refuse(y < 0, f"{family} needs {name} >= 0", name, y, rows)
        _refuse(y != np.floor(y), f"{family} needs whole numbers", name, y, rows)
        if not y.any():
            findings.warn(_one_outcome(name, "0", y.size))
    elif family == "bernoulli":
        if set(np.unique(y[:1000])) == {1.0, 2.0} and np.isin(y, (1.0, 2.0)).all():
            raise DataError(f"{name} is coded 1 and 2; recode it to 0 and 1 ({name} - 1)")
        _refuse((y != 0) & (y != 1), f"bernoulli needs {name} to be 0 or 1", name, y, rows)
        if y.min() == y.max():
            findings.warn(_one_outcome(name, f"{y[0]:.0f}", y.size))
    elif family == "binomial":
        _counts_of_trials(observed, findings)


def _refuse(bad: np.ndarray, reason: str, name: str, values: np.ndarray, rows: Rows) -> None:
    where = np.flatnonzero(bad)
    if where.size:
        first = int(where[0] if rows is None else rows[where[0]])
        more = f"; {counted(where.size, 'row')} ({first_rows(where, rows)})" * (where.size > 1)
        raise DataError(f"{reason}; {name} = {values[where[0]]:g} at row {first}{more}")


def _one_outcome(name: str, value: str, size: int) -> str:
    return f"{name} is {value} in all {size} rows; the intercept is set by its prior"


def _continuous(observed: Observed, findings: Findings) -> None:
    _, name, y, _, _ = observed
    if y.size > 1 and np.ptp(y) == 0:
        raise DataError(
            f"the response {name} is constant (= {y[0]:g}): there is nothing to explain"
        )
    head = y[:1000]  # a column that starts like counts is looked at in full
    if np.array_equal(head, np.floor(head)) and y.min() >= 0 and np.array_equal(y, np.floor(y)):
        other = "bernoulli" if y.max() <= 1 else "poisson"
        findings.notes.append(
            f"{name} holds whole numbers from {y.min():g} to {y.max():g}; family={other!r} may fit "
            "it better than gaussian"
        )


def _counts_of_trials(observed: Observed, findings: Findings) -> None:
    _, name, y, trials, rows = observed
    if trials is None:
        raise DataError(
            "binomial needs the numbers of trials: write y | trials(n); for a response of 0 and 1 "
            'say family="bernoulli"'
        )
    _refuse(trials < 0, "binomial needs trials >= 0", "trials", trials, rows)
    _refuse(trials != np.floor(trials), "binomial needs whole trials", "trials", trials, rows)
    _refuse(y < 0, f"binomial needs {name} >= 0", name, y, rows)
    fractional = f"binomial needs {name} to be a whole number of successes"
    _refuse(y != np.floor(y), fractional, name, y, rows)
    _refuse(y > trials, f"binomial needs {name} <= trials", name, y, rows)
    if not trials.any():
        raise DataError("trials are 0 in every row: there is nothing to learn from")
    if not y.any():
        findings.warn(_one_outcome(name, "0", y.size))
    elif np.array_equal(y, trials):
        findings.warn(_one_outcome(name, "its number of trials", y.size))


def weights(values: np.ndarray, rows: Rows, findings: Findings) -> None:
    """Frequencies: finite, not negative, not all 0."""
    _refuse(~np.isfinite(values), "weights have to be finite", "weight", values, rows)
    _refuse(values < 0, "weights have to be 0 or more", "weight", values, rows)
    zero = int((values == 0).sum())
    if zero == values.size:
        raise DataError("all weights are 0: there is nothing to learn from")
    if zero:
        effective = counted(values.size - zero, "row")
        findings.notes.append(f"{counted(zero, 'row')} of weight 0 add nothing; {effective} count")


def offset(values: np.ndarray, family: str, has_intercept: bool) -> None:
    """Offsets that a log link can bring into range."""
    if family not in COUNTS:
        return
    low, high = float(values.min()), float(values.max())
    if high - low > MAX_OFFSET_RANGE or (not has_intercept and high > MAX_OFFSET_RANGE):
        raise DataError(
            f"offset range [{low:g}, {high:g}] exceeds +-{MAX_OFFSET_RANGE:g}: exp() overflows at "
            "every intercept; an offset is on the log scale, like offset(log(t))"
        )


# --- fixed effects -------------------------------------------------------------------------------


def fixed_effects(
    X: np.ndarray, columns: Sequence[str], observed: Observed, findings: Findings
) -> None:
    """Constant, empty and dependent columns, more columns than rows, and a perfect fit."""
    n, p = X.shape
    if p == 0:
        return
    low, high = X.min(axis=0), X.max(axis=0)
    centred = columns[0] == "Intercept"
    for k in range(p):
        if low[k] != high[k] or columns[k] == "Intercept":
            continue
        if low[k] == 0:
            findings.warn(f"{columns[k]} is 0 in every row; its coefficient is set by its prior")
        elif centred:
            raise DataError(
                f"{columns[k]} is constant (= {low[k]:g}) and duplicates the intercept; leave one "
                "of them out"
            )
    if p > n:
        findings.warn(
            f"{p} coefficients for {n} rows: the prior decides between many equal fits; use fewer "
            "columns or an informative prior"
        )
        return
    varying = np.flatnonzero(low != high) if centred else np.flatnonzero((low != 0) | (high != 0))
    R = _triangle(X, varying, observed.y, centred)
    for k in range(varying.size):
        rest = R[: varying.size, k]
        if abs(R[k, k]) < COLLINEAR * np.linalg.norm(rest):
            # The combination of the earlier columns that gives this one.
            parts = np.linalg.lstsq(R[:k, :k], R[:k, k], rcond=COLLINEAR)[0]
            inside = np.flatnonzero(np.abs(parts) > math.sqrt(COLLINEAR))
            others = [columns[varying[j]] for j in inside[:_SHOWN_COLUMNS]]
            findings.warn(
                f"{columns[varying[k]]} is a combination of {', '.join(others) or 'the others'}"
                f"{', ...' if inside.size > _SHOWN_COLUMNS else ''}: only their priors tell their "
                "coefficients apart; leave one out"
            )
    if observed.family == "gaussian" and abs(R[-1, -1]) < PERFECT_FIT * np.linalg.norm(R[:, -1]):
        findings.warn(
            f"the fixed effects fit {observed.name} perfectly: sigma goes to 0, where the "
            "likelihood has no bound and only the prior of sigma holds it"
        )


def _triangle(X: np.ndarray, chosen: np.ndarray, y: np.ndarray, centred: bool) -> np.ndarray:
    """R of the QR decomposition of the chosen columns and y, each scaled to length about 1."""
    both = np.concatenate([chosen.astype(np.int64), [-1]])

    def block(start: int) -> np.ndarray:
        rows = slice(start, start + _BLOCK)
        return np.column_stack([X[rows][:, both[:-1]], y[rows]])

    starts = range(0, len(y), _BLOCK)
    mean = np.zeros(both.size)
    if centred:
        mean = sum((block(s).sum(axis=0) for s in starts), mean) / len(y)
    square = sum((((block(s) - mean) ** 2).sum(axis=0) for s in starts), np.zeros(both.size))
    scale = np.sqrt(np.where(square > 0, square, 1.0))
    R = np.zeros((both.size, both.size))
    for start in starts:
        R = np.linalg.qr(np.vstack([R, (block(start) - mean) / scale]), mode="r")
    return R


def separation(
    observed: Observed,
    numeric: Iterable[tuple[str, np.ndarray]],
    factors: Iterable[tuple[str, np.ndarray, Sequence[str]]],
    findings: Findings,
) -> None:
    """Single columns and factor levels that predict the response without error.

    Parameters
    ----------
    numeric : iterable of (name, values)
        Columns of X other than the dummies of main effects.
    factors : iterable of (name, codes, levels)
        Factors that have a main effect.
    """
    family, name, y, trials, _ = observed
    if family in PROPORTIONS:
        high = y > 0
        low = y < (1.0 if trials is None else trials)
        if not (high.any() and low.any()):
            return
        for column, x in numeric:
            _numeric_separation(column, x, low, high, name, findings)
    elif family in COUNTS:
        high, low = y > 0, y == 0
        if not high.any():
            return
        for column, x in numeric:
            values = (x.min(), x.max())
            if values[0] < values[1] and np.isin(x, values).all():
                for value in values:
                    if not high[x == value].any():
                        findings.warn(
                            _cell(f"{column} = {value:g}", name, low & (x == value), high)
                        )
    else:
        return
    for factor, codes, levels in factors:
        below = np.bincount(codes[low], minlength=len(levels))
        above = np.bincount(codes[high], minlength=len(levels))
        alone = (above == 0) | (below == 0) if family in PROPORTIONS else above == 0
        for k in np.flatnonzero(alone):
            where = codes == k
            findings.warn(_cell(f"{factor} = {levels[k]}", name, low & where, high & where))


def _numeric_separation(
    column: str, x: np.ndarray, low: np.ndarray, high: np.ndarray, name: str, findings: Findings
) -> None:
    ends = x[low].min(), x[low].max(), x[high].min(), x[high].max()
    if x.min() == x.max() or not (ends[2] >= ends[1] or ends[0] >= ends[3]):
        return
    if ends[2] > ends[1] or ends[0] > ends[3]:
        findings.warn(
            f"{column} separates {name} perfectly: the likelihood has no maximum, and the estimate "
            "depends on the prior"
        )
        return
    values = np.unique(x)
    if values.size > 2:
        findings.warn(
            f"{column} separates {name} but for ties at one value: the estimate depends on the "
            "prior"
        )
        return
    for value in values:
        where = x == value
        if not (low & where).any() or not (high & where).any():
            findings.warn(_cell(f"{column} = {value:g}", name, low & where, high & where))


def _cell(where: str, name: str, low: np.ndarray, high: np.ndarray) -> str:
    below, above = int(low.sum()), int((high & ~low).sum())
    return (
        f"where {where}, {name} takes one value ({counted(below, 'row')} low, {above} high): that "
        "separates it, and the estimate depends on the prior"
    )


# --- groups --------------------------------------------------------------------------------------


def group_column(
    name: str, values: np.ndarray | None, levels: Sequence[str], size: int, findings: Findings
) -> None:
    """Ids of one column: lost digits, continuous values, empty and look-alike texts.

    Parameters
    ----------
    values : array or None
        The ids where they are floats.
    """
    if values is not None:
        if (np.abs(values) >= EXACT_INTEGERS).any():
            raise DataError(
                f"column {name!r} holds ids above 2^53 as floats, which have lost digits; read "
                "them as whole numbers or as text"
            )
        if len(levels) > size / 2 and not np.array_equal(values, np.floor(values)):
            findings.warn(
                f"{name} has {len(levels)} distinct values in {size} rows; is it a measurement "
                "rather than a group?"
            )
    if "" in levels:
        findings.warn(f"{name} has an empty text as a level; is it a missing value?")
    plain = [" ".join(level.split()).casefold() for level in levels]
    if len(set(plain)) < len(plain):
        seen: dict[str, str] = {}
        for level, key in zip(levels, plain, strict=True):
            if key in seen:
                findings.warn(
                    f"levels {seen[key]!r} and {level!r} of {name} differ in case or blanks only; "
                    "they are kept apart"
                )
                break
            seen[key] = level


def groups(factors: Sequence[Grouping], observed: Observed, findings: Findings) -> None:
    """Too few or too many levels, and how the factors lie to each other."""
    size = observed.y.size
    for factor in factors:
        if factor.levels == 1:
            findings.warn(f"{factor.name} has 1 level: its sd is set by its prior only")
        elif factor.levels == size and observed.family == "gaussian":
            findings.warn(
                f"{factor.name} has one row a level: its sd and sigma cannot be told apart by "
                "the data"
            )
        elif factor.levels == size and observed.family == "bernoulli":
            findings.warn(
                f"{factor.name} has one row a level: its sd is not identified by a 0/1 response"
            )
    plain = [factor for factor in factors if not factor.nested_name]
    for i, one in enumerate(plain):
        for other in plain[i + 1 :]:
            _crossing(one, other, size, findings)


def _crossing(one: Grouping, other: Grouping, size: int, findings: Findings) -> None:
    pairs = np.unique(one.index.astype(np.int64) * other.levels + other.index)
    if pairs.size in (one.levels, other.levels):
        return  # one lies within the other
    if pairs.size == one.levels * other.levels:
        if size >= 2 * pairs.size:
            findings.warn(
                f"every level of {other.name} occurs, repeatedly, in every level of {one.name}, "
                f"and they are taken as crossed; if {other.name} is numbered anew within "
                f"{one.name}, write (1 | {one.name}/{other.name})"
            )
        return
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    left, right = pairs // other.levels, one.levels + pairs % other.levels
    total = one.levels + other.levels
    graph = coo_array((np.ones(pairs.size), (left, right)), shape=(total, total))
    parts = connected_components(graph, directed=False, return_labels=False)
    if parts > 1:
        findings.notes.append(
            f"{one.name} and {other.name} fall into {parts} parts without a level in common"
        )


def slopes(
    factor: Grouping, names: Sequence[str], z: np.ndarray, order: np.ndarray, findings: Findings
) -> None:
    """Columns of a term that do not vary within any group.

    Parameters
    ----------
    order : (n,) int array
        Rows sorted by group.
    """
    same_group = np.diff(factor.index[order]) == 0
    for name, column in zip(names, z.T, strict=True):
        within = np.diff(column[order]) != 0
        if name != "Intercept" and not (within & same_group).any() and np.ptp(column) > 0:
            findings.warn(
                f"{name} is constant within every level of {factor.name}: the data say little of "
                f"how its effect varies; consider (1 | {factor.name})"
            )


# --- arguments -----------------------------------------------------------------------------------


def sampler_arguments(
    *,
    draws: object,
    warmup: object,
    chains: object,
    jobs: object = None,
    seed: object = None,
    thin: object = 1,
    target_accept: object = 0.8,
    max_treedepth: object = 10,
) -> None:
    """Refuse arguments of ``sample`` outside their domain, by name.

    Raises
    ------
    DataError
        With the name, the value and the domain.
    """
    _whole("draws", draws, 1)
    _whole("warmup", warmup, 0)
    _whole("chains", chains, 1)
    _whole("thin", thin, 1)
    _whole("max_treedepth", max_treedepth, 1)
    if jobs is not None:
        _whole("jobs", jobs, 1)
    if seed is not None:
        _whole("seed", seed, 0)
    if isinstance(target_accept, bool | str) or not isinstance(target_accept, int | float):
        raise DataError(f"target_accept has to be a number, not {target_accept!r}")
    if not 0 < target_accept < 1:
        raise DataError(f"target_accept has to lie between 0 and 1, not {target_accept!r}")


def _whole(name: str, value: object, least: int) -> None:
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise DataError(f"{name} has to be a whole number of {least} or more, not {value!r}")


def unknown_keywords(function: str, given: Iterable[str], allowed: Sequence[str]) -> None:
    """Refuse keywords that a function does not have, with the closest that it has.

    Raises
    ------
    TypeError
        For the first of them.
    """
    for name in given:
        if name not in allowed:
            close = get_close_matches(name, allowed, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {shown_levels(allowed)}"
            raise TypeError(f"{function}() has no argument {name!r}; {hint}")
