"""The printed fit: what it is and whether it converged, then coefficients, sds, what to know."""

import math
from typing import TYPE_CHECKING

from . import wald

if TYPE_CHECKING:
    from .likelihood_fit import Fit

TITLES = {
    "glm": "maximum likelihood without random effects",
    "laplace": "maximum likelihood (Laplace)",
    "aghq": "maximum likelihood (adaptive Gauss-Hermite quadrature, {nodes} nodes a dimension)",
    "rspl": "restricted pseudo-likelihood (RSPL)",
    "mspl": "maximum pseudo-likelihood (MSPL)",
    "reml": "restricted maximum likelihood (REML)",
    "ml": "maximum likelihood (exact)",
}


def fit(fit: "Fit", level: float = 0.95) -> str:
    """Return the text of ``print(fit)``, with limits of the given level."""
    model, names = fit.model, fit.model.names
    state = "converged" if fit.converged else "NOT CONVERGED"
    title = TITLES[fit.method].format(nodes=fit.nodes)
    table = fit.table(level)
    parts = [
        f"{model.design.formula}   [{model.family.name}, {model.family.link} link]",
        f"{title[0].upper()}{title[1:]}: {state}\n{_criteria(fit)}",
    ]
    rest = {"estimate", "se", *wald.percentages(level)}
    for heading, rows, columns in (
        ("Fixed effects", names.fixed, set(table.columns)),
        (
            "Standard deviations and correlations of effects",
            tuple(n for n in (*names.sd, *names.cor) if n in fit.names),
            rest,
        ),
        ("Dispersion", (*fit.names[_count(fit) :], *names.inverse), rest),
    ):
        if rows:
            lines = str(table.take(rows).select(columns)).splitlines()
            parts.append("\n".join([heading, *(f"  {line}" for line in lines)]))
    if fit.denominator is not None:
        parts.append(f"t tests with {fit.rule} degrees of freedom")
    data = [f"rows: {model.design.X.shape[0]}"]
    if fit.method != "glm":
        data += [f"{f.name}: {len(f.levels)} levels" for f in model.design.factors]
    parts.append("\n".join(["; ".join(data), *model.counted]))
    parts += [f"! {line}" for line in fit.warnings]
    return "\n\n".join(parts)


def _count(fit: "Fit") -> int:
    """Rows before the dispersion."""
    names = fit.model.names
    effects = 0 if fit.method == "glm" else len(names.sd) + len(names.cor)
    return len(names.fixed) + effects


def _criteria(fit: "Fit") -> str:
    if math.isnan(fit.aic):
        kind = "restricted pseudo-loglik" if fit.restricted else "pseudo-loglik"
        return f"{kind} {fit.loglik:.4f} (of the last working data: not comparable across models)"
    kind = "restricted loglik" if fit.restricted else "loglik"
    return (
        f"{kind} {fit.loglik:.4f}   deviance {fit.deviance:.4f}   "
        f"AIC {fit.aic:.2f}   BIC {fit.bic:.2f}   parameters {fit.parameters}"
    )
