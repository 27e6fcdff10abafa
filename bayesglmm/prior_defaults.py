"""Every prior of a model with numbers: the user's where given, else scaled defaults."""

import difflib
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from . import priors as prior_types
from .errors import PriorError
from .links import get as link_of
from .priors import (
    LKJ,
    HalfNormal,
    HalfStudentT,
    HuangWand,
    InverseSqrt,
    InverseWishart,
    Normal,
)

if TYPE_CHECKING:
    from .design import Design
    from .families import Family

HALF_COUNT = 0.5  # added so that all-zero or all-one data have a finite mean on the link scale
PRIOR_SDS = 2.5  # of the response's spread: Gelman, Jakulin, Pittau and Su (2008), as in rstanarm
SD_DF = 3.0
# Dispersions that are no sd; 1/sqrt of them is a coefficient of variation.
SHAPES = ("size", "shape")
MATRIX = InverseWishart | HuangWand | dict  # what a group may be given


@dataclass(frozen=True)
class TermPrior:
    """Prior of one term's Sigma: an sd prior for each column with `cor`, or `sigma` for all."""

    sd: tuple[Any, ...] = ()
    cor: LKJ | None = None
    sigma: InverseWishart | HuangWand | None = None


@dataclass(frozen=True)
class Priors:
    """All priors of a model, with numbers; on the user's scale.

    `beta` follows the columns of X; with `centred` the intercept's is at the centred predictors.
    """

    beta: tuple[Any, ...]
    terms: tuple[TermPrior, ...]
    dispersion: Any
    centred: bool


def spread(design: "Design", family: "Family") -> tuple[float, float, float]:
    """Spread s of the response on the link scale, mean m there, and sd on its own scale."""
    y, weights = design.response.y, design.weights
    total = weights.sum()
    link = link_of(family.link)
    # Trials and offset first: the rate, proportion or mean that a row of offset 0 has.
    if family.name in ("bernoulli", "binomial"):
        trials = design.response.trials
        trials = np.ones_like(y) if trials is None else trials
        mean = (weights @ y + HALF_COUNT) / (weights @ trials + 2.0 * HALF_COUNT)
        shift = float(weights @ design.offset) / total
        return 1.0, float(link.link(mean)) - shift, 0.5
    average = float(weights @ y) / total
    sd = float(np.sqrt(weights @ (y - average) ** 2 / total))
    whole = np.all(y >= 0.0) and np.all(y == np.floor(y))
    counts = whole and family.dispersion in (None, "size") and design.response.se is None
    half = HALF_COUNT / total if counts else 0.0
    if family.link == "log":
        largest = float(design.offset.max())
        exposure = float(weights @ np.exp(design.offset - largest))
        positive = max(average * total + half * total, 1e-8 * max(sd, 1.0))
        return 1.0, float(np.log(positive / exposure)) - largest, sd
    shift = float(weights @ design.offset) / total
    mean = average + half
    slope = float(np.abs(link.derivative(mean)))
    return sd * slope, float(link.link(mean)) - shift, sd


def _hint(key: str, known: set[str], groups: set[str]) -> str:
    """What may be meant by a key that is none; rows of the tables are known by their group."""
    row, _, group = key.removesuffix(")").rpartition("|")
    kind, _, column = row.partition("(")
    if group in groups:
        column = "Intercept" if row == "1" else column or row
        inner = '{"cor": ...}' if kind == "cor" else f'{{"sd": {{"{column}": ...}}}}'
        return f'; write "{group}": {inner}.'
    levels = sorted(name for name in known if name.startswith(f"{key}["))
    close = [key[2:]] if key.startswith("b_") and key[2:] in known else levels[:3]
    close = close or difflib.get_close_matches(key, sorted(known), n=3)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else "."


def column_means(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Means of columns (n, p); a row counts as often as its weight says."""
    if np.all(weights == 1.0):
        return np.asarray(columns.mean(axis=0))
    return np.asarray(weights @ columns / weights.sum())


def column_sd(column: np.ndarray, weights: np.ndarray) -> float:
    """Standard deviation of a column, its rows counted so too."""
    if np.all(weights == 1.0):
        return float(column.std())
    mean = weights @ column / weights.sum()
    return float(np.sqrt(weights @ (column - mean) ** 2 / weights.sum()))


def resolve(design: "Design", family: "Family", given: dict[str, Any], center: bool) -> Priors:
    """Every prior with numbers: the user's where given, else the default."""
    s, m, sd_y = spread(design, family)
    groups = {design.factors[t.factor].name for t in design.terms}
    dispersion = {family.dispersion} if family.dispersion else set()
    others = {"b", "sd", "cor", *design.columns, *dispersion}
    known = groups | others
    for key in given:
        if key not in known:
            hint = _hint(str(key), known, groups)
            raise PriorError(
                f"priors: {key!r} is no part of this model{hint} Known: {', '.join(sorted(known))}"
            )
    # A group may be called b, or as a column is: what it is given then says which is meant.
    of_groups = {
        key: own
        for key, own in given.items()
        if key in groups and (key not in others or isinstance(own, MATRIX))
    }
    given = {key: own for key, own in given.items() if key not in of_groups}
    beta = []
    centred = center and design.has_intercept
    for j, name in enumerate(design.columns):
        if name == "Intercept":
            default: Any = Normal(m, PRIOR_SDS * s)
        else:
            width = column_sd(design.X[:, j], design.weights)
            width = width if width > 0.0 else float(np.abs(design.X[0, j])) or 1.0
            default = given.get("b", Normal(0.0, PRIOR_SDS * s / width))
        beta.append(_scalar(given.get(name, default), name, prior_types.COEFFICIENT_PRIORS))
    terms = []
    for term in design.terms:
        group = design.factors[term.factor].name
        own = of_groups.get(group, {})
        default = HalfStudentT(SD_DF, PRIOR_SDS * s)
        # Another term of the group may have the columns that this one has not.
        of_group = [n for t in design.terms if t.factor == term.factor for n in t.names]
        terms.append(_term_prior(own, given, group, term, of_group, default))
    phi = None
    if family.dispersion:
        name = family.dispersion
        if name in SHAPES:
            phi = given.get(name, InverseSqrt(HalfNormal(1.0)))
            phi = _scalar(phi, name, prior_types.SHAPE_PRIORS)
        else:
            phi = given.get(name, HalfStudentT(SD_DF, PRIOR_SDS * sd_y))
            phi = _scalar(phi, name, prior_types.POSITIVE_PRIORS)
    return Priors(tuple(beta), tuple(terms), phi, centred)


def _scalar(prior: Any, name: str, allowed: tuple[type, ...]) -> Any:
    if not isinstance(prior, allowed):
        names = ", ".join(kind.__name__ for kind in allowed)
        raise PriorError(f"priors[{name!r}] must be one of {names}; got {prior!r}")
    return prior


def _term_prior(
    own: Any, given: dict[str, Any], group: str, term: Any, of_group: list[str], default: Any
) -> TermPrior:
    q = len(term.names)
    if isinstance(own, InverseWishart | HuangWand):
        if q > 1 and not term.correlated:
            raise PriorError(
                f"priors[{group!r}]: {type(own).__name__} needs an unstructured Sigma; write "
                f"({' + '.join(term.names)} | {group}), or give 'sd' priors for {term.text}"
            )
        return TermPrior(sigma=own.for_size(q, group))
    if not isinstance(own, dict):
        raise PriorError(
            f"priors[{group!r}] must be InverseWishart, HuangWand or a dict of 'sd' and 'cor', "
            f'like {{"sd": HalfNormal(1)}}; got {own!r}'
        )
    for key in own:
        if key not in ("sd", "cor"):
            raise PriorError(f"priors[{group!r}] knows 'sd' and 'cor', not {key!r}")
    sd = own.get("sd", given.get("sd", default))
    by_name = sd if isinstance(sd, dict) else {}
    for key in by_name:
        if key not in of_group:
            raise PriorError(
                f"priors[{group!r}]['sd'] names {key!r}; the columns are {', '.join(of_group)}"
            )
    sds = tuple(
        _scalar(by_name.get(n, default) if by_name else sd, "sd", prior_types.POSITIVE_PRIORS)
        for n in term.names
    )
    cor = own.get("cor", given.get("cor", LKJ(1.0))) if term.correlated and q > 1 else None
    if cor is not None and not isinstance(cor, LKJ):
        raise PriorError(f"priors['cor'] must be LKJ; got {cor!r}")
    return TermPrior(sd=sds, cor=cor)


def rescaled(prior: Any, factor: float) -> Any:
    """The prior of factor * x where x has the given prior."""
    lengths = {f.name for f in fields(prior)} & {"mean", "sd", "scale"}
    return replace(prior, **{name: getattr(prior, name) * factor for name in lengths})
