"""The sentences of a report: what was asked, how it was answered, how to do it again."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from ..wording import counted

if TYPE_CHECKING:
    from ..model import Model
    from ..posterior import Posterior

FAMILIES = {
    "gaussian": "normally distributed",
    "gaussian_se": "normally distributed with known standard errors",
    "bernoulli": "a yes or no (Bernoulli)",
    "binomial": "a number of successes among trials (binomial)",
    "poisson": "a Poisson count",
    "negative_binomial": "an overdispersed count (negative binomial)",
    "gamma": "a positive number (Gamma)",
}
SAMPLERS = {
    "gibbs": "Metropolis within Gibbs in Laplace-transported coordinates",
    "collapsed": "Metropolis sampling of the covariance parameters with coefficients and effects "
    "integrated out, which are then drawn exactly",
    "classical": "Metropolis within Gibbs with tuned proposals by block (Gamerman 1997)",
    "nuts": "the No-U-Turn sampler (Hoffman and Gelman 2014; Betancourt 2017)",
    "hmc": "Hamiltonian Monte Carlo (Neal 2011)",
}
CITATIONS = (
    "Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021). Rank-normalization, folding, and "
    "localization: an improved R-hat. Bayesian Analysis 16, 667-718.",
    "Kumar, Carroll, Hartikainen and Martin (2019). ArviZ a unified library for exploratory "
    "analysis of Bayesian models in Python. Journal of Open Source Software 4, 1143.",
)
LKJ_CITATION = (
    "Lewandowski, Kurowicka and Joe (2009). Generating random correlation matrices based on vines "
    "and extended onion method. Journal of Multivariate Analysis 100, 1989-2001."
)


def question(model: "Model") -> list[str]:
    """What was asked of the data, a sentence each."""
    design, family = model.design, model.family
    name = design.response.name
    lines = [
        f"{name} is taken as {FAMILIES.get(family.name, family.name)}; its mean depends on the "
        f"predictors through the {family.link} link.",
        f"The data have {counted(len(design.rows), 'row')} that were used.",
    ]
    if design.dropped:
        parts = ", ".join(f"{k}: {v}" for k, v in design.dropped.items())
        lines.append(f"Rows were left out for missing values ({parts}).")
    for term in design.terms:
        factor = design.factors[term.factor]
        what = " and ".join(term.names)
        how = "with correlations" if term.correlated and len(term.names) > 1 else ""
        lines.append(
            f"{what} {'varies' if len(term.names) == 1 else 'vary'} by {factor.name} "
            f"({counted(len(factor.levels), 'level')}){' ' if how else ''}{how}."
        )
    return lines


def methods(post: "Posterior", fits: list[str]) -> str:
    """A paragraph for a paper's section of methods."""
    model, run = post.model, post.run
    design, family = model.design, model.family
    verdict = post.verdict
    items = {item.check: item for item in verdict.checks}
    grouped = ", ".join(
        f"{factor.name} ({counted(len(factor.levels), 'level')})" for factor in design.factors
    )
    mixed = f" with random effects of {grouped}" if grouped else ""
    text = [
        f"We fitted a Bayesian generalized linear {'mixed ' if grouped else ''}model for "
        f"{design.response.name} ({family.name.replace('_', ' ')} family, {family.link} "
        f"link){mixed} to {counted(len(design.rows), 'observation')}, with the formula "
        f"{design.formula}, in bayesglmm {run.versions.get('bayesglmm', '')}.",
        "Priors were " + "; ".join(line.strip() for line in model.describe()["Priors"]) + ".",
        f"The posterior was sampled by {SAMPLERS.get(run.sampler, run.sampler)}: {post.chains} "
        f"chains of {post.draws:,} draws each after {run.warmup:,} iterations of warm-up"
        + (f", keeping every {run.thin}th draw" if run.thin > 1 else "")
        + f" (seed {run.seed}).",
    ]
    if "R-hat" in items and "bulk ESS" in items:
        state = "Convergence was judged" if verdict.ok else "Convergence was NOT reached, judged"
        text.append(
            f"{state} by rank-normalized R-hat (at most {items['R-hat'].value:.3f}) and effective "
            f"sample sizes (bulk at least {items['bulk ESS'].value:.0f}) of all parameters and "
            "effects (Vehtari et al. 2021)."
        )
    text.append("We report posterior means, standard deviations and equal-tailed 95% intervals.")
    if fits:
        text.append(f"For comparison the model was fitted by {' and '.join(fits)}.")
    return " ".join(text)


def citations(post: "Posterior") -> list[str]:
    """References that the paragraph needs."""
    lkj = any(p.cor is not None and len(p.sd) > 1 for p in post.model.priors.terms)
    return [*CITATIONS, *([LKJ_CITATION] if lkj else [])]


def code(post: "Posterior") -> str:
    """Python code that makes the same posterior from the same data."""
    model, run = post.model, post.run
    keep = "" if run.keep == "all" else f", keep={run.keep!r}"
    sampler = "" if run.classical is None else "  # with the blocks listed above"
    given = [
        f"model = bg.glmm(\n    {model.design.formula!r},\n    data,\n"
        f"    family={_family(model)!r},\n    link={model.family.link!r},",
        f"    priors={_priors(model)},",
    ]
    if model.design.dropped:
        given.append("    missing='drop',")
    if (model.design.weights != 1.0).any() and "weights(" not in model.design.formula:
        given.append("    weights=...,  # the frequencies, a column or an array")
    if not model.center:
        given.append("    center=False,")
    return "\n".join(
        [
            "import bayesglmm as bg",
            "",
            "data = ...  # the data frame; its fingerprint is below",
            *given,
            ")",
            f"post = model.sample(draws={post.draws}, warmup={run.warmup}, chains={post.chains}, "
            f"thin={run.thin},",
            f"                    seed={run.seed}, sampler={run.sampler!r}{keep}){sampler}",
        ]
    )


def _family(model: "Model") -> str:
    # Known standard errors are read from the formula.
    return "gaussian" if model.family.name == "gaussian_se" else model.family.name


def _priors(model: "Model") -> str:
    lines = [
        f"        {name!r}: bg.{prior!r},"
        for name, prior in zip(model.names.fixed, model.priors.beta, strict=True)
    ]
    sds: dict[str, list[str]] = {}
    cors: dict[str, str] = {}
    for term, prior in zip(model.design.terms, model.priors.terms, strict=True):
        group = model.design.factors[term.factor].name
        if prior.sigma is not None:
            lines.append(f"        {group!r}: bg.{prior.sigma!r},")
            continue
        pairs = zip(term.names, prior.sd, strict=True)
        sds.setdefault(group, []).extend(f"{name!r}: bg.{one!r}" for name, one in pairs)
        if prior.cor is not None:
            cors[group] = f", 'cor': bg.{prior.cor!r}"
    for group, parts in sds.items():
        inside = f"'sd': {{{', '.join(parts)}}}{cors.get(group, '')}"
        lines.append(f"        {group!r}: {{{inside}}},")
    for name in model.names.dispersion:
        inside = repr(model.priors.dispersion).replace("prior=", "prior=bg.")
        lines.append(f"        {name!r}: bg.{inside},")
    return "{\n" + "\n".join(lines) + "\n    }"


def fingerprint(model: "Model") -> str:
    """SHA-256 of what the model read of the data: response, columns, groups, offset, weights."""
    design = model.design
    digest = hashlib.sha256()
    arrays = [design.response.y, design.X, design.offset, design.weights]
    arrays += [np.asarray(f.index) for f in design.factors] + [t.z for t in design.terms]
    if design.response.known is not None:
        arrays.append(design.response.known)
    for array in arrays:
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array, dtype=np.float64).tobytes())
    return digest.hexdigest()
