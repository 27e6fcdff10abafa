"""Response: in the domain of its family, and varying."""

import numpy as np

from ..columns import Rows
from ..errors import DataError
from ..wording import counted, first_rows
from .findings import COUNTS, KNOWN_ERRORS, Findings, Observed

# A family of the user's own may have trials.
WITHOUT_TRIALS = ("gaussian", KNOWN_ERRORS, "gamma", "bernoulli", *COUNTS)


def response(observed: Observed, findings: Findings) -> None:
    """Domain of the response, and whether it varies at all."""
    family, name, y, trials, rows = observed
    if trials is not None and family in WITHOUT_TRIALS:
        raise DataError(f'trials are for family="binomial"; this is family={family!r}')
    if family == "gaussian":
        _continuous(observed, findings)
    elif family in COUNTS:
        refuse(y < 0, f"{family} needs {name} >= 0", name, y, rows)
        refuse(y != np.floor(y), f"{family} needs whole numbers", name, y, rows)
        if not y.any():
            findings.warn(_one_outcome(name, "0", y.size))
        if family == "negative_binomial":
            _spread_of_counts(observed, findings)
    elif family == "gamma":
        refuse(y <= 0, f"gamma needs {name} > 0", name, y, rows)
        _varying(observed)
    elif family == "bernoulli":
        if set(np.unique(y[:1000])) == {1.0, 2.0} and np.isin(y, (1.0, 2.0)).all():
            raise DataError(f"{name} is coded 1 and 2; recode it to 0 and 1 ({name} - 1)")
        refuse((y != 0) & (y != 1), f"bernoulli needs {name} to be 0 or 1", name, y, rows)
        if y.min() == y.max():
            findings.warn(_one_outcome(name, f"{y[0]:.0f}", y.size))
    elif family == "binomial":
        _counts_of_trials(observed, findings)


def known_errors(family: str, se: np.ndarray | None, rows: Rows) -> str:
    """Name of the family: another one where a Gaussian response has known standard errors.

    Raises
    ------
    DataError
        For known standard errors of another response, that are lacking, or that are not positive.
    """
    if se is None:
        if family == KNOWN_ERRORS:
            raise DataError('known standard errors are written y | se(s), with family="gaussian"')
        return family
    if family not in ("gaussian", KNOWN_ERRORS):
        raise DataError(f'se() is for family="gaussian"; this is family={family!r}')
    refuse(~(se > 0.0), "standard errors have to be positive", "se", se, rows)
    return KNOWN_ERRORS


def refuse(bad: np.ndarray, reason: str, name: str, values: np.ndarray, rows: Rows) -> None:
    """Refuse the rows of a mask, naming the first."""
    where = np.flatnonzero(bad)
    if where.size:
        first = int(where[0] if rows is None else rows[where[0]])
        more = f"; {counted(where.size, 'row')} ({first_rows(where, rows)})" * (where.size > 1)
        raise DataError(f"{reason}; {name} = {values[where[0]]:g} at row {first}{more}")


def _one_outcome(name: str, value: str, size: int) -> str:
    return f"{name} is {value} in all {size} rows; the intercept is set by its prior"


def _continuous(observed: Observed, findings: Findings) -> None:
    _, name, y, _, _ = observed
    _varying(observed)
    head = y[:1000]  # a column that starts like counts is looked at in full
    if np.array_equal(head, np.floor(head)) and y.min() >= 0 and np.array_equal(y, np.floor(y)):
        other = "bernoulli" if y.max() <= 1 else "poisson"
        findings.notes.append(
            f"{name} holds whole numbers from {y.min():g} to {y.max():g}; family={other!r} may fit "
            "it better than gaussian"
        )


def _varying(observed: Observed) -> None:
    y = observed.y
    if y.size > 1 and np.ptp(y) == 0:
        raise DataError(
            f"the response {observed.name} is constant (= {y[0]:g}): there is nothing to explain"
        )


def _spread_of_counts(observed: Observed, findings: Findings) -> None:
    y = observed.y
    # What explains the mean only takes from the variance.
    if y.size > 1 and 0.0 < y.var() <= y.mean():
        findings.warn(
            f"{observed.name} varies no more than Poisson counts (mean {y.mean():.3g}, variance "
            f"{y.var():.3g}): size has no upper bound in the data; consider poisson"
        )


def _counts_of_trials(observed: Observed, findings: Findings) -> None:
    _, name, y, trials, rows = observed
    if trials is None:
        remedy = f"write {name} | trials(n) with the column n of their numbers"
        if np.isin(y, (0.0, 1.0)).all():
            remedy = 'for a response of 0 and 1 say family="bernoulli"'
        elif np.any(y != np.floor(y)):
            remedy = (
                f"{name} is no count ({y[y != np.floor(y)][0]:g}); of a proportion give the "
                "counts, successes | trials(n) or prop(successes, n)"
            )
        raise DataError(f"binomial needs the numbers of trials: {remedy}")
    refuse(trials < 0, "binomial needs trials >= 0", "trials", trials, rows)
    refuse(trials != np.floor(trials), "binomial needs whole trials", "trials", trials, rows)
    refuse(y < 0, f"binomial needs {name} >= 0", name, y, rows)
    fractional = f"binomial needs {name} to be a whole number of successes"
    refuse(y != np.floor(y), fractional, name, y, rows)
    refuse(y > trials, f"binomial needs {name} <= trials", name, y, rows)
    if not trials.any():
        raise DataError("trials are 0 in every row: there is nothing to learn from")
    if not y.any():
        findings.warn(_one_outcome(name, "0", y.size))
    elif np.array_equal(y, trials):
        findings.warn(_one_outcome(name, "its number of trials", y.size))
