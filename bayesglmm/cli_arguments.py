"""Arguments that commands share, and the model that they name."""

import argparse
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .model import Model
    from .posterior import Posterior

PARQUET = (".parquet", ".pq")
GOOD, NOT_CONVERGED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 3


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


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the data, the formula and what belongs to the model."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "data", metavar="DATA", help="a CSV or Parquet file, or the name of a shipped data set"
    )
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
    add_reading(group)
    group.add_argument(
        "--missing",
        choices=["refuse", "drop"],
        default="refuse",
        help="what to do with rows that lack a value",
    )


def add_reading(parser: Any) -> None:
    """Add how a CSV file is read; see `table`."""
    parser.add_argument(
        "--factor",
        action="append",
        default=[],
        metavar="COLUMN",
        help="a column of numbers that is a factor; repeatable",
    )
    parser.add_argument(
        "--na", action="append", metavar="TEXT", help="a cell that means missing; repeatable"
    )


def add_sampler(parser: argparse.ArgumentParser) -> None:
    """Add the options of the sampler."""
    group = parser.add_argument_group("sampler")
    group.add_argument("--seed", type=int, help="the same seed gives the same draws")
    group.add_argument("--chains", type=int, default=4)
    group.add_argument("--draws", type=int, help="kept of each chain, 1000 by default")
    group.add_argument("--warmup", type=int, help="iterations before them, 1000 by default")
    group.add_argument("--thin", type=int, default=1, help="iterations per draw kept")
    group.add_argument("--jobs", type=int, help="threads; the draws do not depend on it")
    group.add_argument(
        "--keep",
        choices=["all", "summary", "stream"],
        default="all",
        help="of the draws of effects: all in memory, a summary, or all on the disk (--stream)",
    )
    group.add_argument(
        "--stream", metavar="FILE", help="netCDF file of the draws of effects; --keep stream"
    )
    group.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="keep the chains safe there: the same command goes on where a killed one stopped",
    )
    group.add_argument(
        "--sampler",
        choices=["auto", "gibbs", "collapsed", "classical", "nuts", "hmc"],
        default="auto",
    )
    group.add_argument(
        "--blocks",
        metavar="TEXT",
        help='classical sampling by blocks: "beta=iwls+centred, u=random_walk, Sigma=conjugate"',
    )
    group.add_argument("--nbi", type=int, help="iterations of burn-in, as --warmup")
    group.add_argument("--nmc", type=int, help="iterations after burn-in, kept by --thin")
    group.add_argument("--ntu", type=int, help="iterations of a loop of tuning of random walks")
    group.add_argument("--maxtune", type=int, help="most loops of tuning")
    group.add_argument("--propcov", choices=["fit", "quanew", "ind"], help="of random walks")
    group.add_argument("--target-accept", type=float, default=0.8)
    group.add_argument("--max-treedepth", type=int, default=10)


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add what is printed, and how."""
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    group.add_argument("--timing", action="store_true", help="print the seconds of every phase")
    volume = group.add_mutually_exclusive_group()
    volume.add_argument("--quiet", action="store_true", help="no progress and no warnings")
    volume.add_argument("--verbose", action="store_true", help="print the model too, and timing")


def free(*paths: str | None, force: bool) -> None:
    """Refuse files that could not be written, or replace others, before anything is computed.

    Raises
    ------
    FileExistsError
        For the first that exists, is a link, or leads through ``..``, unless `force` is true.
    OSError
        For a folder, a file in a folder that does not exist, or one that cannot be written to.
    """
    from . import sealed

    for path in paths:
        if not path:
            continue
        sealed.refuse_place(Path(path))
        if Path(path).exists() and not force:
            raise FileExistsError(f"{path} exists; say --force to replace it")
        if Path(path).is_symlink() and not force:
            raise FileExistsError(f"{path} is a link; say --force to replace it")
        if ".." in Path(path).parts and not force:
            raise FileExistsError(
                f"{path} leads out of a folder by '..'; say --force if you mean it"
            )
        if not os.access(Path(path).absolute().parent, os.W_OK):
            raise PermissionError(f"nothing can be written to the folder of {path}")


def sampled(arguments: argparse.Namespace, model: "Model") -> "Posterior":
    """Sample as the arguments of `add_sampler` say."""
    from .blocks import parsed

    quiet = arguments.quiet or arguments.json
    blocks = None if arguments.blocks is None else parsed(arguments.blocks)
    post: Posterior = model.sample(
        draws=arguments.draws,
        warmup=arguments.warmup,
        chains=arguments.chains,
        jobs=arguments.jobs,
        seed=arguments.seed,
        sampler=arguments.sampler,
        thin=arguments.thin,
        target_accept=arguments.target_accept,
        max_treedepth=arguments.max_treedepth,
        blocks=blocks,
        nbi=arguments.nbi,
        nmc=arguments.nmc,
        ntu=arguments.ntu,
        maxtune=arguments.maxtune,
        propcov=arguments.propcov,
        progress=False if quiet else None,
        keep="stream" if arguments.stream and arguments.keep == "all" else arguments.keep,
        stream=arguments.stream,
        checkpoint=arguments.checkpoint,
    )
    return post


def model(arguments: argparse.Namespace, clock: Clock) -> "Model":
    """Read the data and build the model that the arguments name."""
    if arguments.quiet:
        warnings.simplefilter("ignore", UserWarning)
    with clock("import"):
        from . import prior_text
        from .diagnostics.verdict import FAILED
        from .errors import ConvergenceWarning, PriorError
        from .model import glmm
    # The verdict is printed first; it need not be said twice.
    warnings.filterwarnings("ignore", FAILED, ConvergenceWarning)
    chosen = {}
    for text in arguments.prior:
        key, equals, prior = text.partition("=")
        if not equals:
            raise PriorError(f"--prior {text!r} has no '='; write it as \"b=normal(0, 2.5)\"")
        chosen[key.strip()] = prior_text.parse(prior)
    with clock("design"):
        made = glmm(
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
        print(made, end="\n\n")
    return made


def table(name: str, factors: list[str], na: list[str] | None) -> Any:
    """Return the columns of a CSV or Parquet file.

    Raises
    ------
    DataError
        If it cannot be read, or what only CSV files need is asked of a Parquet file.
    """
    from . import frames, parquet
    from .errors import DataError

    if Path(name).suffix.lower() not in PARQUET:
        return frames.read_columns(name, factors=factors, na=na)
    if factors or na:
        raise DataError(
            f"--factor and --na are for CSV files, and {name!r} is a Parquet file, whose columns "
            "say what they are; write factor(column) in the formula"
        )
    return parquet.read_columns(name)


def _data(arguments: argparse.Namespace) -> Any:
    """Return the columns of a file, or else of the shipped data set of that name."""
    from . import datasets
    from .errors import DataError

    name = arguments.data
    if name not in datasets.names() or Path(name).is_file():
        return table(name, arguments.factor, arguments.na)
    if arguments.factor or arguments.na:
        raise DataError(
            f"--factor and --na are for CSV files, and {name!r} is a shipped data set; "
            "write factor(column) in the formula"
        )
    return datasets.load_columns(name)


def print_timing(arguments: argparse.Namespace, clock: Clock, inside: dict[str, float]) -> None:
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
