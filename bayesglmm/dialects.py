"""Dialects: what other packages call things that have another name here, and what to write."""

import re

FAMILIES = {
    "normal": "gaussian",
    "norm": "gaussian",
    "logistic": "bernoulli",
    "logit": "bernoulli",
    "binary": "bernoulli",
    "count": "poisson",
    "nb": "negative_binomial",
    "nbinom": "negative_binomial",
    "nbinom2": "negative_binomial",
    "negbin": "negative_binomial",
    "negbinomial": "negative_binomial",
    "negativebinomial": "negative_binomial",
}
FUNCTIONS = {
    "as.factor": "factor(x)",
    "as_factor": "factor(x)",
    "relevel": "ref(x, 'level')",
    "Treatment": "ref(x, 'level')",
    "np.log": "log(x)",
    "np.exp": "exp(x)",
    "np.sqrt": "sqrt(x)",
    "ln": "log(x)",
    "log2": "I(log(x) / 0.693147)",
    "log10": "I(log(x) / 2.302585)",
    "standardize": "scale(x)",
    "zscore": "scale(x)",
    "s": "bs(x, df)",
    "ns": "bs(x, df)",
    "cr": "bs(x, df)",
    "rcs": "bs(x, df)",
    "spline": "bs(x, df)",
    "exposure": "offset(log(t))",
    "rate": "+ offset(log(t)) right of ~",
    "p": "prop(successes, trials)",
    "proportion": "prop(successes, trials)",
}
KEYWORDS = {
    "offset": "write + offset(log(t)) in the formula",
    "exposure": "write + offset(log(t)) in the formula",
    "trials": "write y | trials(n) in the formula",
    "random": "write (1 | g) in the formula",
    "groups": "write (1 | g) in the formula",
    "prior": "write priors={...}",
    "dropna": 'write missing="drop"',
    "na_action": 'write missing="drop"',
    "contrasts": 'write reference={"f": "level"}',
    "subset": "take the rows of the data frame",
    "control": "there is nothing to set",
    "REML": 'write bg.glmm(...).fit("reml") or .fit("ml")',
    "nAGQ": 'write bg.glmm(...).fit("aghq", nodes=25)',
    "method": 'write bg.glmm(...).fit("laplace") or .sample()',
    **dict.fromkeys(
        (
            *("chains", "draws", "warmup", "seed", "jobs", "thin", "init", "sampler"),
            *("iter", "tune", "cores", "adapt_delta", "target_accept", "random_seed"),
        ),
        "sampling comes after: bg.glmm(...).sample(chains=4, draws=1000, warmup=1000, seed=1)",
    ),
}
# Arguments of functions and methods that have another name here.
ARGUMENTS = {
    "adapt_delta": "target_accept",
    "allow_new_levels": "new_levels",
    "ci_prob": "level",
    "cores": "jobs",
    "exp": "exponentiate",
    "hdi_prob": "ci_prob",
    "iter": "draws",
    "kind": "scale",
    "level": "ci_prob",
    "n_jobs": "jobs",
    "nchains": "chains",
    "num_chains": "chains",
    "num_samples": "draws",
    "num_warmup": "warmup",
    "parallel_chains": "jobs",
    "prior": "priors",
    "prob": "ci_prob",
    "progressbar": "progress",
    "random_seed": "seed",
    "random_state": "seed",
    "re_form": "effects",
    "re_formula": "effects",
    "sample_new_groups": "new_levels",
    "sample_new_levels": "new_levels",
    "tune": "warmup",
    "type": "scale",
}
_CALL = re.compile(r"\s*([\w.]+)\s*\(\s*(?:link\s*=\s*)?['\"]?(\w*)['\"]?\s*\)\s*")


def family(name: str, known: tuple[str, ...]) -> str:
    """What to write instead of a family's name that is not known; empty if nothing is like it."""
    call = _CALL.fullmatch(name)
    own, link = call.groups() if call else (name, "")
    own = own.strip().lower()
    plain = own.replace("_", "").replace("-", "").replace(" ", "")
    found = own if own in known else FAMILIES.get(plain, "")
    if not found:
        return ""
    return f'; write family="{found}"' + (f', link="{link}"' if link else "")


def function(name: str) -> str:
    """What to write instead of a function that is not known; empty if nothing does it."""
    return f"; write {FUNCTIONS[name]}" if name in FUNCTIONS else ""


def keywords(given: dict[str, object]) -> None:
    """Refuse keywords that `glmm` does not have.

    Raises
    ------
    TypeError
        For the first of them, with what to write instead.
    """
    for name in given:
        hint = KEYWORDS.get(name, "it has family, link, priors, weights, missing, center")
        raise TypeError(f"glmm() has no argument {name!r}; {hint}")
