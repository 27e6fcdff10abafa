"""The command line: ``bayesglmm sample``, ``fit`` and ``datasets``."""

import argparse
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NoReturn

from . import __version__

if TYPE_CHECKING:
    from .model import Model
    from .posterior import Posterior

GOOD, NOT_CONVERGED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 3

EXAMPLES = """\
examples:
  bayesglmm sample epilepsy "seizures ~ log(base) * treat + (visit | id)" --family poisson --seed 1
  bayesglmm sample herds.csv "sick | trials(size) ~ period + (1 | herd)" --family binomial \\
      --factor period --prior "b=normal(0, 2.5)" --prior "sd=halfstudentt(3, 2.5)" --save herds.nc
  bayesglmm fit sleepstudy "Reaction ~ Days + (Days | Subject)"
  bayesglmm datasets

exit codes: 0 good, 1 sampled but not converged, 2 bad input, 3 interrupted
"""


class _Parser(argparse.ArgumentParser):
    """Reports a wrong argument on one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(BAD_INPUT, f"{self.prog}: {message} (see {self.prog} --help)\n")


class Clock:
    """Seconds by phase, in the order of the phases."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Add the seconds that the block takes to a phase."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + perf_counter() - start


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        The exit code: 0 good, 1 sampled but not converged, 2 bad input, 3 interrupted.
    """
    arguments = _parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            return int(arguments.run(arguments))
        except KeyboardInterrupt:
            return _fail("interrupted before there were any draws", INTERRUPTED)
        except (ValueError, OSError) as error:
            return _fail(str(error), BAD_INPUT)


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog="bayesglmm",
        description="Bayesian generalized linear mixed models.",
        epilog=EXAMPLES,
        formatter_class=form,
    )
    parser.add_argument("--version", action="version", version=f"bayesglmm {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    sample = commands.add_parser(
        "sample",
        help="sample the posterior and print its summary",
        description="Sample the posterior of a model and print its summary, verdict first.",
        epilog=EXAMPLES,
        formatter_class=form,
    )
    sample.set_defaults(run=_sample)
    _add_model(sample)
    _add_sampler(sample)
    _add_output(sample)
    sample.add_argument("--save", metavar="FILE", help="save the posterior to a netCDF file")
    sample.add_argument("--force", action="store_true", help="let --save replace a file")

    fit = commands.add_parser(
        "fit",
        help="fit by maximum likelihood and print the estimates",
        description="Fit a model by maximum likelihood and print the estimates.",
        epilog=EXAMPLES,
        formatter_class=form,
    )
    fit.set_defaults(run=_fit)
    _add_model(fit)
    fit.add_argument("--method", choices=["laplace"], default="laplace")
    _add_output(fit)

    datasets = commands.add_parser("datasets", help="list the data sets that are shipped")
    datasets.set_defaults(run=_datasets)
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("data", metavar="DATA", help="a CSV file, or the name of a shipped data set")
    group.add_argument("formula", metavar="FORMULA", help='such as "y ~ x + (1 | g)"')
    group.add_argument(
        "--family",
        default="gaussian",
        help="gaussian, bernoulli, binomial, poisson, negative_binomial or gamma",
    )
    group.add_argument("--link", help="the family's own by default")
    group.add_argument(
        "--prior",
        action="append",
        default=[],
        metavar="KEY=PRIOR",
        help='such as "b=normal(0, 2.5)", "sd=halfstudentt(3, 2.5)", "cor=lkj(2)"; repeatable',
    )
    group.add_argument("--weights", metavar="COLUMN", help="column of frequencies")
    group.add_argument(
        "--center",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="state the intercept's prior at the means of the predictors, or at zero",
    )
    group = parser.add_argument_group("data")
    group.add_argument(
        "--factor",
        action="append",
        default=[],
        metavar="COLUMN",
        help="a column of numbers that is a factor; repeatable",
    )
    group.add_argument(
        "--na", action="append", metavar="TEXT", help="a cell that means missing; repeatable"
    )
    group.add_argument(
        "--missing",
        choices=["refuse", "drop"],
        default="refuse",
        help="what to do with rows that lack a value",
    )


def _add_sampler(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("sampler")
    group.add_argument("--seed", type=int, help="the same seed gives the same draws")
    group.add_argument("--chains", type=int, default=4)
    group.add_argument("--draws", type=int, default=1000, help="kept of each chain")
    group.add_argument("--warmup", type=int, default=1000)
    group.add_argument("--thin", type=int, default=1, help="iterations per draw kept")
    group.add_argument("--jobs", type=int, help="threads; the draws do not depend on it")
    group.add_argument("--sampler", choices=["auto", "gibbs", "nuts", "hmc"], default="auto")
    group.add_argument("--target-accept", type=float, default=0.8)
    group.add_argument("--max-treedepth", type=int, default=10)


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    group.add_argument("--timing", action="store_true", help="print the seconds of every phase")
    volume = group.add_mutually_exclusive_group()
    volume.add_argument("--quiet", action="store_true", help="no progress and no warnings")
    volume.add_argument("--verbose", action="store_true", help="print the model too, and timing")


def _sample(arguments: argparse.Namespace) -> int:
    if arguments.save and Path(arguments.save).exists() and not arguments.force:
        raise FileExistsError(f"{arguments.save} exists; say --force to replace it")
    clock = Clock()
    model = _model(arguments, clock)
    quiet = arguments.quiet or arguments.json
    with clock("sample"):
        post = model.sample(
            draws=arguments.draws,
            warmup=arguments.warmup,
            chains=arguments.chains,
            jobs=arguments.jobs,
            seed=arguments.seed,
            sampler=arguments.sampler,
            thin=arguments.thin,
            target_accept=arguments.target_accept,
            max_treedepth=arguments.max_treedepth,
            progress=False if quiet else None,
        )
    with clock("summary"):
        text = json.dumps(_posterior_record(post)) if arguments.json else str(post)
    print(text)
    _print_timing(arguments, clock, post.run.seconds)
    if arguments.save:
        post.save(arguments.save, force=arguments.force)
    if post.run.interrupted:
        return INTERRUPTED
    return GOOD if post.verdict.ok else NOT_CONVERGED


def _fit(arguments: argparse.Namespace) -> int:
    clock = Clock()
    model = _model(arguments, clock)
    with clock("fit"):
        fit = model.fit(arguments.method)
    print(json.dumps(_fit_record(model, fit)) if arguments.json else fit)
    _print_timing(arguments, clock, {})
    return GOOD


def _datasets(arguments: argparse.Namespace) -> int:
    from . import datasets

    for name, description in datasets.describe():
        print(f"{name:12}  {description}")
    return GOOD


def _model(arguments: argparse.Namespace, clock: Clock) -> "Model":
    """Read the data and build the model that the arguments name."""
    if arguments.quiet:
        warnings.simplefilter("ignore", UserWarning)
    with clock("import"):
        from . import priors
        from .errors import ConvergenceWarning, PriorError
        from .model import glmm
    # The verdict is printed first; it need not be said twice.
    warnings.simplefilter("ignore", ConvergenceWarning)
    chosen = {}
    for text in arguments.prior:
        key, equals, prior = text.partition("=")
        if not equals:
            raise PriorError(f"--prior {text!r} has no '='; write it as \"b=normal(0, 2.5)\"")
        chosen[key.strip()] = priors.parse(prior)
    with clock("design"):
        model = glmm(
            arguments.formula,
            _data(arguments),
            family=arguments.family,
            link=arguments.link,
            priors=chosen or None,
            weights=arguments.weights,
            missing=arguments.missing,
            center=arguments.center,
        )
    if arguments.verbose and not arguments.json:
        print(model, end="\n\n")
    return model


def _data(arguments: argparse.Namespace) -> Any:
    """Return the columns of a CSV file, or else of the shipped data set of that name."""
    from . import datasets, frames
    from .errors import DataError

    name = arguments.data
    if name not in datasets.names() or Path(name).is_file():
        return frames.read_columns(name, factors=arguments.factor, na=arguments.na)
    if arguments.factor or arguments.na:
        raise DataError(
            f"--factor and --na are for CSV files, and {name!r} is a shipped data set; "
            "write factor(column) in the formula"
        )
    return datasets.load_columns(name)


def _posterior_record(post: "Posterior") -> dict[str, Any]:
    run = post.run
    return {
        "formula": post.model.design.formula,
        "family": post.model.family.name,
        "link": str(post.model.family.link),
        "converged": post.verdict.ok,
        "verdict": [str(item) for item in post.verdict.checks],
        "summary": post.table().records(),
        "priors": post.model.describe()["Priors"],
        "rows": len(post.model.design.rows),
        "sampler": run.sampler,
        "reason": run.reason,
        "chains": post.chains,
        "draws": post.draws,
        "warmup": run.warmup,
        "thin": run.thin,
        "seed": run.seed,
        "interrupted": run.interrupted,
        "seconds": run.seconds,
        "versions": run.versions,
    }


def _fit_record(model: "Model", fit: Any) -> dict[str, Any]:
    return {
        "formula": model.design.formula,
        "family": model.family.name,
        "link": str(model.family.link),
        "method": fit.method,
        "summary": fit.table().records(),
        "loglik": fit.loglik,
        "aic": fit.aic,
        "bic": fit.bic,
    }


def _print_timing(arguments: argparse.Namespace, clock: Clock, inside: dict[str, float]) -> None:
    """Print the seconds of every phase; those inside `sample` are taken out of its total."""
    if not (arguments.timing or arguments.verbose):
        return
    phases = dict(clock.seconds)
    if inside:
        phases["other sampling"] = max(0.0, phases.pop("sample") - sum(inside.values()))
    summary = {"summary": phases.pop("summary")} if "summary" in phases else {}
    in_order = dict(sorted(inside.items(), key=lambda phase: phase[0] != "fit"))
    for name, seconds in {**phases, **in_order, **summary}.items():
        print(f"{name:>16} {seconds:8.3f} s", file=sys.stderr)


def _show_warning(
    message: Warning | str, category: type[Warning], *rest: object, **more: object
) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _fail(message: str, code: int) -> int:
    print(f"bayesglmm: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
