"""``bayesglmm fit`` and ``compare``: maximum likelihood, alone or beside the posterior."""

import argparse
import json
import math
from typing import TYPE_CHECKING, Any

from .cli_arguments import (
    GOOD,
    INTERRUPTED,
    NOT_CONVERGED,
    Clock,
    add_model,
    add_output,
    add_sampler,
    free,
    model,
    print_timing,
    sampled,
)

if TYPE_CHECKING:
    from .comparison import Comparison, Result
    from .likelihood_fit import Fit
    from .likelihood_ratio import Anova
    from .model import Model
    from .quantities import Quantities

# Options of the fit that not every method has.
BELONG = {
    "nodes": ("aghq",),
    "df": ("rspl", "mspl", "reml", "ml"),
    "scale": ("rspl", "mspl"),
}
METHODS = ("laplace", "aghq", "rspl", "mspl", "reml", "ml", "glm")

FIT_EXAMPLES = """\
examples:
  bayesglmm fit sleepstudy "Reaction ~ Days + (Days | Subject)" --method reml
  bayesglmm fit sleepstudy "Reaction ~ Days + (Days | Subject)" --method ml \\
      --anova "Reaction ~ Days + (1 | Subject)"
  bayesglmm fit depression "outcome ~ diagnose + treat * factor(time) + (1 | case)" \\
      --family bernoulli --method rspl --type3 --exponentiate \\
      --contrast "new at week 4=treat[new] + treat[new]:factor(time)[2]"
  bayesglmm fit cbpp "incidence | trials(size) ~ factor(period) + (1 | herd)" --family binomial \\
      --method aghq --nodes 25 --limits profile --save cbpp.nc --table cbpp.csv

exit codes: 0 good, 1 not converged, 2 bad input, 3 interrupted
"""
COMPARE_EXAMPLES = """\
examples:
  bayesglmm compare epilepsy "seizures ~ treat + (1 | id)" --family poisson --seed 1
  bayesglmm compare depression "outcome ~ diagnose + treat * time + (1 | case)" \\
      --family bernoulli --methods laplace,aghq,rspl --nodes 25 \\
      --plot compare.png --table compare.csv

exit codes: 0 good, 1 not converged, 2 bad input, 3 interrupted
"""


# ---- arguments ----------------------------------------------------------------------------------


def _methods(text: str) -> list[str]:
    methods = [method.strip() for method in text.split(",") if method.strip()]
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods:
        raise argparse.ArgumentTypeError(
            f"unknown method {', '.join(unknown) or 'none'}; there are {', '.join(METHODS)}"
        )
    return methods


def _add_method_options(group: Any) -> None:
    group.add_argument("--nodes", type=int, help="of aghq, quadrature nodes a dimension")
    group.add_argument(
        "--df", help="of rspl, mspl, reml and ml: containment, between-within, residual or none"
    )
    group.add_argument(
        "--scale", choices=["fixed", "estimate"], help="of rspl and mspl: the residual scale"
    )
    group.add_argument("--level", type=float, default=0.95, help="probability inside the limits")


def _add_files(parser: argparse.ArgumentParser, saved: str) -> None:
    parser.add_argument("--save", metavar="FILE", help=f"save the {saved} to a netCDF file")
    parser.add_argument("--table", metavar="FILE", help="save the table as .csv or .md")
    parser.add_argument("--force", action="store_true", help="let a saved file replace another")


def add_fit(parser: argparse.ArgumentParser) -> None:
    """Give ``fit`` its arguments."""
    parser.set_defaults(run=run_fit)
    add_model(parser)
    group = parser.add_argument_group("fit")
    group.add_argument("--method", choices=METHODS, default="laplace")
    _add_method_options(group)
    group.add_argument(
        "--limits", choices=["wald", "profile"], default="wald", help="profile takes longer"
    )
    group = parser.add_argument_group("tests")
    group.add_argument("--type3", action="store_true", help="test every term given all others")
    group.add_argument(
        "--contrast",
        action="append",
        default=[],
        metavar="LABEL=EXPRESSION",
        help='such as "late=treat[new] + treat[new]:time"; the label may be left out; repeatable',
    )
    group.add_argument(
        "--exponentiate", action="store_true", help="show contrasts as odds or rate ratios"
    )
    group.add_argument(
        "--anova",
        action="append",
        default=[],
        metavar="FORMULA",
        help="a model to compare with by a likelihood-ratio test; repeatable",
    )
    group.add_argument(
        "--refit", action="store_true", help="let --anova refit REML fits by maximum likelihood"
    )
    group.add_argument(
        "--variances", action="store_true", help="print variances and covariances, as SAS does"
    )
    add_output(parser)
    _add_files(parser, "fit")
    parser.add_argument("--plot", metavar="FILE", help="save the caterpillar plot of the effects")


def add_compare(parser: argparse.ArgumentParser) -> None:
    """Give ``compare`` its arguments."""
    parser.set_defaults(run=run_compare)
    add_model(parser)
    group = parser.add_argument_group("fits")
    group.add_argument(
        "--methods",
        type=_methods,
        metavar="A,B,...",
        help=f"of {', '.join(METHODS)}; reml for a gaussian response and laplace for others",
    )
    _add_method_options(group)
    group.add_argument(
        "--effects", action="store_true", help="compare the effects of all levels too"
    )
    group.add_argument(
        "--no-posterior", action="store_true", help="compare the fits alone, without sampling"
    )
    add_sampler(parser)
    add_output(parser)
    _add_files(parser, "posterior")
    parser.add_argument("--plot", metavar="FILE", help="save the forest plot")
    parser.add_argument(
        "--plot-scale",
        choices=["value", "sd"],
        default="value",
        help="the user's scale, or distance from the posterior mean in posterior sds",
    )


# ---- fit ----------------------------------------------------------------------------------------


def run_fit(arguments: argparse.Namespace) -> int:
    """Run ``fit`` and return its exit code."""
    _check_files(arguments)
    clock = Clock()
    made = model(arguments, clock)
    with clock("fit"):
        fit = _fit(made, arguments.method, arguments)
    parts: dict[str, Any] = {}
    with clock("tests"):
        if arguments.limits == "profile":
            from . import profiles

            parts["profile"] = profiles.limits(fit, arguments.level, None)
        if arguments.variances:
            from . import wald

            parts["variances"] = wald.variances(fit)
        if arguments.type3:
            from . import type3

            parts["type3"] = type3.tests(fit)
        if arguments.contrast:
            parts["contrasts"] = _contrasts(fit, arguments)
        if arguments.anova:
            parts["anova"] = _anova(fit, arguments)
    shown = _text(fit, parts, arguments.level)
    print(json.dumps(_record(fit, parts, arguments.level)) if arguments.json else shown)
    print_timing(arguments, clock, {})
    if arguments.save:
        fit.save(arguments.save, force=arguments.force)
    if arguments.table:
        from . import exports

        exports.save(arguments.table, _saved(fit, parts, arguments.level))
    if arguments.plot:
        fit.plot_effects(level=arguments.level, path=arguments.plot)
    return GOOD if fit.converged else NOT_CONVERGED


def _check_files(arguments: argparse.Namespace) -> None:
    free(arguments.save, arguments.table, arguments.plot, force=arguments.force)
    if arguments.table:
        from . import exports

        exports.check(arguments.table)
    if arguments.plot:
        from . import fit_plots

        fit_plots.check(arguments.plot)


def _fit(made: "Model", method: str, arguments: argparse.Namespace) -> "Fit":
    """Fit by one method; options that belong to others are left out where several are asked for."""
    options: dict[str, Any] = {}
    several = "method" not in arguments
    for name, methods in BELONG.items():
        value = getattr(arguments, name)
        if value is not None and (method in methods or not several):
            options[name] = value
    fit: Fit = made.fit(method, **options)
    return fit


def _contrasts(fit: "Fit", arguments: argparse.Namespace) -> "Quantities":
    """Contrasts of the fit: ``label=expression``, or the expression alone."""
    rows: dict[str, Any] = {}
    for text in arguments.contrast:
        label, equals, expression = text.partition("=")
        rows[label.strip()] = (expression if equals else label).strip()
    return fit.contrasts(rows, exponentiate=arguments.exponentiate, level=arguments.level)


def _anova(fit: "Fit", arguments: argparse.Namespace) -> "Anova":
    from .likelihood_ratio import anova

    others = []
    for formula in arguments.anova:
        other = argparse.Namespace(**{**vars(arguments), "formula": formula, "verbose": False})
        others.append(_fit(model(other, Clock()), arguments.method, arguments))
    made: Anova = anova(fit, *others, refit=arguments.refit)
    return made


TITLES = {
    "profile": "Profile-likelihood limits",
    "variances": "Variances and covariances",
    "type3": "Type III tests",
}


def _text(fit: "Fit", parts: dict[str, Any], level: float) -> str:
    from . import fit_printout

    made = [fit_printout.fit(fit, level)]
    for name, part in parts.items():
        lines = str(part).splitlines()
        title = TITLES.get(name)
        made.append("\n".join([title, *(f"  {line}" for line in lines)] if title else lines))
    return "\n\n".join(made)


def _saved(fit: "Fit", parts: dict[str, Any], level: float) -> list[dict[str, Any]]:
    """Return the rows of ``--table``: with both kinds of limits, named, where both are printed."""
    records = fit.table(level).records()
    if "profile" not in parts:
        return records
    profile = {row["name"]: row for row in parts["profile"].records()}
    ends = list(parts["profile"].columns)
    return [
        {f"wald {k}" if k in ends else k: value for k, value in row.items()}
        | {f"profile {k}": profile.get(row["name"], {}).get(k) for k in ends}
        for row in records
    ]


def _record(fit: "Fit", parts: dict[str, Any], level: float) -> dict[str, Any]:
    """Return what ``--json`` prints; a number that does not exist is null."""
    design = fit.model.design
    record: dict[str, Any] = {
        "formula": design.formula,
        "family": fit.model.family.name,
        "link": str(fit.model.family.link),
        "method": fit.method,
        "nodes": fit.nodes,
        "converged": fit.converged,
        "warnings": list(fit.warnings),
        "rows": len(design.rows),
        "parameters": fit.parameters,
        "level": level,
        "summary": fit.table(level).records(),
    }
    for name in ("loglik", "deviance", "aic", "bic"):
        value = getattr(fit, name)
        record[name] = value if math.isfinite(value) else None
    for name, part in parts.items():
        if name == "contrasts":
            part = part.table()
        record[name] = part.table.records() if name == "anova" else part.records()
        if name == "anova":
            record["anova_notes"] = list(part.notes)
    return record


# ---- compare ------------------------------------------------------------------------------------


def run_compare(arguments: argparse.Namespace) -> int:
    """Run ``compare`` and return its exit code."""
    _check_files(arguments)
    if arguments.no_posterior and arguments.save:
        from .errors import DataError

        raise DataError("--save saves the posterior, and --no-posterior asks for none")
    clock = Clock()
    made = model(arguments, clock)
    methods = arguments.methods or ["reml" if made.family.name == "gaussian" else "laplace"]
    _refuse_idle(arguments, methods)
    with clock("fits"):
        fits = [_fit(made, method, arguments) for method in methods]
    post = None
    if not arguments.no_posterior:
        with clock("sample"):
            post = sampled(arguments, made)
    from .comparison import compare

    results: list[Result] = [*([] if post is None else [post]), *fits]
    with clock("summary"):
        found = compare(*results, u=arguments.effects, level=arguments.level)
        text = json.dumps(_compared(made, found, results)) if arguments.json else str(found)
    print(text)
    print_timing(arguments, clock, {} if post is None else post.run.seconds)
    if arguments.save and post is not None:
        post.save(arguments.save, force=arguments.force)
    if arguments.table:
        from . import exports

        exports.save(arguments.table, found.records()["rows"])
    if arguments.plot:
        shown = compare(*results, level=arguments.level) if arguments.effects else found
        shown.plot(arguments.plot, scale=arguments.plot_scale)
    if post is not None and post.run.interrupted:
        return INTERRUPTED
    good = all(fit.converged for fit in fits) and (post is None or post.verdict.ok)
    return GOOD if good else NOT_CONVERGED


def _refuse_idle(arguments: argparse.Namespace, methods: list[str]) -> None:
    """Refuse an option that none of the methods has."""
    from .errors import DataError

    for name, having in BELONG.items():
        if getattr(arguments, name) is not None and not set(having) & set(methods):
            raise DataError(
                f"--{name} belongs to {', '.join(having)}, and the methods are {', '.join(methods)}"
            )


def _compared(made: "Model", found: "Comparison", results: "list[Result]") -> dict[str, Any]:
    from .posterior import Posterior

    posteriors = [r for r in results if isinstance(r, Posterior)]
    return {
        "formula": made.design.formula,
        "family": made.family.name,
        "link": str(made.family.link),
        "converged": [r.verdict.ok if isinstance(r, Posterior) else r.converged for r in results],
        **found.records(),
        "priors": made.describe()["Priors"] if posteriors else [],
        "seed": posteriors[0].run.seed if posteriors else None,
    }
