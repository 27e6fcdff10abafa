"""What to beware of where a posterior and maximum-likelihood fits stand side by side."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import PriorError
from .likelihood_fit import PSEUDO, Fit
from .posterior import Posterior
from .priors import LKJ

if TYPE_CHECKING:
    from .comparison import Column, Comparison

SOME, MUCH = 0.25, 0.5  # posterior sds: smaller differences change no conclusion
BINARY = ("bernoulli", "binomial")
FEW_TRIALS = 5.0  # a row, on average: the Laplace and pseudo-likelihood bias is that of 0/1 data
LARGE_SD = 1.5  # of effects on the logit scale, where Laplace's bias shows
FEW_ROWS = 5.0  # 0/1 responses a level, where pseudo-likelihood's bias shows at any sd
ENOUGH_NODES = 25  # a dimension, for a large sd
FEW_LEVELS = 30  # with which maximum likelihood understates an sd noticeably
PRIOR_SHARE = 0.8  # of the prior's width that the posterior still has where the prior dominates
FLAT = 2.0  # standard error over posterior sd from which the prior says more than the data
PRIOR_DRAWS = 4000  # give a prior's width to 2%
SEED = 1  # of these draws, so that the same comparison says the same
CENTRAL = (16.0, 84.0)  # percentiles between which a width is measured
SHOWN = 4  # rows named in one sentence


@dataclass(frozen=True)
class Flag:
    """One thing to beware of.

    Attributes
    ----------
    kind : str
        ``"not converged"``, ``"no maximum"``, ``"zero variance"``, ``"laplace bias"``,
        ``"pseudo-likelihood bias"``, ``"few nodes"``, ``"prior"``, ``"ml bias"``,
        ``"other model"``, ``"difference"`` or ``"agrees"``.
    method : str
        Name of the result.
    rows : tuple of str
        Parameters that it concerns.
    sentence : str
        Without the name of the method.
    """

    kind: str
    method: str
    rows: tuple[str, ...]
    sentence: str

    def record(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "kind": self.kind,
            "method": self.method,
            "rows": list(self.rows),
            "sentence": self.sentence,
        }


def flags(comparison: "Comparison") -> tuple[Flag, ...]:
    """All flags of a comparison."""
    found: list[Flag] = []
    for j, column in enumerate(comparison.columns):
        if isinstance(column.result, Posterior):
            found += _posterior(comparison, column, column.result)
        else:
            found += _fit(comparison, column, column.result)
        if j:
            found += _other_rows(comparison, column) + _difference(comparison, j)
    return tuple(found)


def _named(rows: list[str]) -> str:
    return ", ".join(rows[:SHOWN]) + (f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else "")


# ---- posteriors ---------------------------------------------------------------------------------


def _posterior(comparison: "Comparison", column: "Column", post: Posterior) -> list[Flag]:
    found = []
    if not post.verdict.ok:
        sentence = (
            "the chains have NOT converged: the differences may be their noise; print the "
            "posterior for what to do"
        )
        found.append(Flag("not converged", column.name, (), sentence))
    prior = prior_width(post)
    low, high = np.percentile(post.scalar_draws.reshape(-1, len(post.names)), CENTRAL, axis=0)
    place = {name: i for i, name in enumerate(post.names)}
    rows = [
        row
        for row in comparison.rows
        if row in place
        and high[place[row]] - low[place[row]] > PRIOR_SHARE * prior.get(row, np.inf)
    ]
    if rows:
        sentence = (
            f"the prior dominates {_named(rows)}, being hardly wider than the posterior: the data "
            "say little; try other priors"
        )
        found.append(Flag("prior", column.name, tuple(rows), sentence))
    return found


def prior_width(post: Posterior) -> dict[str, float]:
    """Distance of a prior's central percentiles by row; rows without a proper one are left out.

    The intercept is left out where its prior is at the centred predictors.
    """
    from .covariance_prior import implied

    model, rng = post.model, np.random.default_rng(SEED)
    widths: dict[str, float] = {}

    def add(row: str, prior: Any) -> None:
        try:
            low, high = np.percentile(prior.draw(rng, PRIOR_DRAWS), CENTRAL)
        except PriorError:
            return  # improper: infinitely wide
        widths[row] = float(high - low)

    for name, prior in zip(model.names.fixed, model.priors.beta, strict=True):
        if name != "Intercept" or not model.priors.centred:
            add(name, prior)
    for term, prior in zip(model.design.terms, model.priors.terms, strict=True):
        group, q = model.design.factors[term.factor].name, len(term.names)
        pairs = [(k, l) for k in range(q) for l in range(k)] if term.correlated else []
        cors = [f"cor({term.names[l]},{term.names[k]}|{group})" for k, l in pairs]
        sds = [f"sd({name}|{group})" for name in term.names]
        if prior.sigma is not None:
            sd, cor = implied(prior.sigma, q, tuple(0.01 * c for c in CENTRAL))
            quantiles = np.concatenate([sd, cor])
            widths |= dict(zip([*sds, *cors], np.diff(quantiles)[:, 0].tolist(), strict=True))
            continue
        for name, sd_prior in zip(sds, prior.sd, strict=True):
            add(name, sd_prior)
        if isinstance(prior.cor, LKJ):
            shape = prior.cor.eta + 0.5 * (q - 2)  # Lewandowski, Kurowicka and Joe (2009)
            low, high = np.percentile(2.0 * rng.beta(shape, shape, PRIOR_DRAWS) - 1.0, CENTRAL)
            widths |= dict.fromkeys(cors, float(high - low))
    for name in model.names.dispersion:
        add(name, model.priors.dispersion)
    return widths


# ---- fits ---------------------------------------------------------------------------------------


def _fit(comparison: "Comparison", column: "Column", fit: Fit) -> list[Flag]:
    found = []
    name, present = column.name, set(comparison.rows)
    for sentence in fit.outcome.unbounded:
        found.append(Flag("no maximum", name, _named_in(sentence, comparison, fit), sentence))
    if not fit.converged and not fit.outcome.unbounded:
        sentence = f"NOT converged: {fit.warnings[-1]}"
        found.append(Flag("not converged", name, (), sentence))
    zero = [
        row
        for row, estimate in zip(fit.names, fit.estimate, strict=True)
        if estimate == 0.0 and row in fit.model.names.sd and row in present
    ]
    if zero:
        found.append(_zero_variance(comparison, column, zero))
    found += _approximation(column, fit)
    found += _flat(comparison, column, fit)
    return found


def _named_in(sentence: str, comparison: "Comparison", fit: Fit) -> tuple[str, ...]:
    """Rows that a sentence of `identified` names: separating columns at its head, or an sd."""
    head = sentence.partition(" separate")[0].removesuffix(" together").split(", ")
    return tuple(
        row
        for row in comparison.rows
        if row in fit.names
        and (row in head or (row not in fit.model.names.fixed and row in sentence))
    )


def _zero_variance(comparison: "Comparison", column: "Column", rows: list[str]) -> Flag:
    first = comparison.columns[0]
    sentence = f"{_named(rows)} estimated as 0"
    if isinstance(first.result, Posterior) and comparison.same_link(column):
        upper = first.upper[comparison.rows.index(rows[0])]
        sentence += (
            f": the most likely value, not a certain one; the {first.name} reaches to {upper:.2g}"
            + (f" for {rows[0]}" if len(rows) > 1 else "")
        )
    else:
        sentence += (
            ": the most likely value, not a certain one; a posterior shows how far it may go"
        )
    return Flag("zero variance", column.name, tuple(rows), sentence)


def _approximation(column: "Column", fit: Fit) -> list[Flag]:
    """Where the method's likelihood is known to be poor."""
    model = fit.model
    trials = model.design.response.trials
    average = 1.0 if trials is None else float(trials.mean())
    if model.family.name not in BINARY or average > FEW_TRIALS or fit.method == "glm":
        return []
    sds = dict(zip(fit.names, fit.estimate, strict=True))
    found = []
    for term in model.design.terms:
        factor = model.design.factors[term.factor]
        row = f"sd(Intercept|{factor.name})"
        if "Intercept" not in term.names:
            continue
        a_level = average * model.design.X.shape[0] / len(factor.levels)
        large = f"{row} = {sds[row]:.2f}, from {a_level:.3g} 0/1 responses a level"
        alone = len(model.design.factors) == 1
        better = f'fit("aghq", nodes={ENOUGH_NODES}) or the posterior' if alone else "the posterior"
        if fit.method in PSEUDO and (a_level < FEW_ROWS or sds[row] > LARGE_SD):
            sentence = (
                f"{large}: pseudo-likelihood is biased there, towards 0 (Breslow and Lin 1995); "
                f"trust {better}"
            )
            found.append(Flag("pseudo-likelihood bias", column.name, (row,), sentence))
        elif sds[row] > LARGE_SD and (fit.method == "laplace" or fit.nodes == 1):
            sentence = f"{large}: Laplace's approximation is biased there; trust {better}"
            found.append(Flag("laplace bias", column.name, (row,), sentence))
        elif sds[row] > LARGE_SD and fit.nodes is not None and fit.nodes < ENOUGH_NODES:
            sentence = f"{large}: {fit.nodes} nodes may not be enough; see whether more change it"
            found.append(Flag("few nodes", column.name, (row,), sentence))
    return found


def _flat(comparison: "Comparison", column: "Column", fit: Fit) -> list[Flag]:
    """Coefficients of which the prior says more than the likelihood."""
    first = comparison.columns[0]
    if not isinstance(first.result, Posterior) or fit.outcome.unbounded:
        return []
    if not comparison.same_link(column):
        return []
    with np.errstate(invalid="ignore"):
        flat = column.se > FLAT * first.se
    rows = [row for i, row in enumerate(comparison.rows) if flat[i] and comparison.kinds[i] != "u"]
    if not rows:
        return []
    sentence = (
        f"standard errors of {_named(rows)} are more than {FLAT:g} times the {first.name}'s sd: "
        "the likelihood is flat there and the prior decides"
    )
    return [Flag("prior", column.name, tuple(rows), sentence)]


def _other_rows(comparison: "Comparison", column: "Column") -> list[Flag]:
    """Rows that count otherwise than in the first result, which the names of parameters hide."""
    first = comparison.columns[0]
    one, two = first.result.model.design, column.result.model.design
    what = [
        name
        for name, own, other in (
            ("offset", one.offset, two.offset),
            ("weights", one.weights, two.weights),
            ("trials or standard errors", one.response.known, two.response.known),
        )
        if not np.array_equal(np.zeros(0) if own is None else own, () if other is None else other)
    ]
    if not what:
        return []
    sentence = (
        f"another model than {first.name}, with other {' and '.join(what)}: the differences are "
        "of models, not of methods"
    )
    return [Flag("other model", column.name, (), sentence)]


# ---- differences --------------------------------------------------------------------------------


def _difference(comparison: "Comparison", j: int) -> list[Flag]:
    column, first = comparison.columns[j], comparison.columns[0]
    if isinstance(column.result, Fit) and column.result.outcome.unbounded:
        return []  # no number of it means anything
    unit = "posterior sds" if isinstance(first.result, Posterior) else "standard errors"
    size = np.abs(comparison.difference[:, j])
    if np.all(np.isnan(size)):
        return []
    found = []
    far = [i for i in np.argsort(-np.nan_to_num(size)) if size[i] > SOME]
    plain = [i for i in far if comparison.kinds[i] != "u"]
    if plain:
        named = [f"{comparison.rows[i]} ({comparison.difference[i, j]:+.2f})" for i in plain]
        sentence = f"more than {SOME} {unit} from {first.name}: {_named(named)}"
        inside = _central(comparison, column, plain)
        if inside:
            sentence += (
                f"; {_named(inside)} {'is' if len(inside) == 1 else 'are'} skewed, and the "
                f"estimate lies in the central half of the {first.name}"
            )
        rows = tuple(comparison.rows[i] for i in plain)
        found.append(Flag("difference", column.name, rows, sentence))
    effects = [i for i in far if comparison.kinds[i] == "u"]
    if effects:
        worst = effects[0]
        sentence = (
            f"more than {SOME} {unit} from {first.name} in {len(effects)} of "
            f"{comparison.kinds.count('u')} effects, most in {comparison.rows[worst]} "
            f"({comparison.difference[worst, j]:+.2f})"
        )
        rows = tuple(comparison.rows[i] for i in effects)
        found.append(Flag("difference", column.name, rows, sentence))
    if not far:
        sentence = f"agrees with {first.name} within {SOME} {unit} in every row"
        return [Flag("agrees", column.name, (), sentence)]
    result = column.result
    low = [
        comparison.rows[i]
        for i in plain
        if comparison.difference[i, j] < 0.0 and comparison.kinds[i] == "sd"
    ]
    if isinstance(result, Fit) and isinstance(first.result, Posterior) and not result.restricted:
        found += _few_levels(column, result, low)
    return found


def _central(comparison: "Comparison", column: "Column", index: list[int]) -> list[str]:
    """Rows of sds and correlations whose estimate lies between the posterior's quartiles."""
    post = comparison.columns[0].result
    if not isinstance(post, Posterior):
        return []
    place = {name: i for i, name in enumerate(post.names)}
    draws = post.scalar_draws.reshape(-1, len(post.names))
    rows = []
    for i in index:
        name = comparison.rows[i]
        if comparison.kinds[i] in ("sd", "cor") and name in place:
            low, high = np.percentile(draws[:, place[name]], (25.0, 75.0))
            if low < column.estimate[i] < high:
                rows.append(name)
    return rows


def _few_levels(column: "Column", fit: Fit, rows: list[str]) -> list[Flag]:
    if fit.method in PSEUDO or fit.method == "glm":
        return []
    few = [
        (row, len(factor.levels))
        for factor in fit.model.design.factors
        for row in rows
        if row.endswith(f"|{factor.name})") and len(factor.levels) <= FEW_LEVELS
    ]
    if not few:
        return []
    row, levels = few[0]
    better = (
        "REML and the posterior do" if fit.model.family.name == "gaussian" else "a posterior does"
    )
    sentence = (
        f"maximum likelihood understates sds with few levels ({row}: {levels}), since it does not "
        f"count what the coefficients cost; {better}"
    )
    return [Flag("ml bias", column.name, tuple(r for r, _ in few), sentence)]
