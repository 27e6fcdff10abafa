"""``bayesglmm diagnose``: the convergence of a saved posterior, or of draws from elsewhere."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cli_arguments import GOOD, NOT_CONVERGED

if TYPE_CHECKING:
    from .any_draws import AnyDraws
    from .diagnosis import Diagnosis

EXAMPLES = """\
examples:
  bayesglmm diagnose fit.nc
  bayesglmm diagnose draws.csv --parameter alpha --parameter beta --tables geweke,raftery
  bayesglmm diagnose chain1.csv chain2.csv --json

In a table of draws every column is a parameter; a column "chain" tells the chains apart, and
"draw" or "iteration" orders the rows. Several files are chains of the same parameters.

exit codes: 0 converged, 1 not converged, 2 bad input, 3 interrupted
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Give the command its arguments."""
    parser.set_defaults(run=run)
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="a saved posterior, ours or ArviZ's (.nc), or draws (.csv, .parquet)",
    )
    parser.add_argument(
        "--parameter",
        action="append",
        metavar="NAME",
        help="show only this parameter, or all elements of this variable; repeatable",
    )
    parser.add_argument(
        "--effects", action="store_true", help="of a posterior: show the effects of all levels too"
    )
    parser.add_argument(
        "--tables",
        metavar="A,B,...",
        help="of tests, geweke, heidelberger, raftery, autocorrelation, ess, mcse, rhat, sampler; "
        "all or none",
    )
    parser.add_argument("--lags", metavar="K,...", help="of the autocorrelations")
    parser.add_argument("--quantile", type=float, help="of Raftery-Lewis; .025 by default")
    parser.add_argument("--accuracy", type=float, help="of Raftery-Lewis; .005 by default")
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    found = _diagnosis(arguments)
    tables = _listed(arguments.tables) if arguments.tables else None
    if arguments.json:
        print(json.dumps(found.records(tables), allow_nan=False))
    else:
        print(found.text() if tables is None else found.text(tables))
    return GOOD if found.verdict.ok else NOT_CONVERGED


def _listed(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _diagnosis(arguments: argparse.Namespace) -> "Diagnosis":
    from .diagnosis import diagnose
    from .errors import DataError

    options: dict[str, Any] = {}
    if arguments.lags:
        try:
            options["lags"] = [int(lag) for lag in _listed(arguments.lags)]
        except ValueError:
            raise DataError(f"--lags are whole numbers, not {arguments.lags!r}") from None
    asked = {name: getattr(arguments, name) for name in ("quantile", "accuracy")}
    options["raftery"] = {name: value for name, value in asked.items() if value is not None}
    first = arguments.files[0]
    if len(arguments.files) == 1 and Path(first).suffix == ".nc":
        found = _loaded(first)
        return diagnose(found, parameters=arguments.parameter, u=arguments.effects, **options)
    if arguments.effects:
        raise DataError("--effects is for a saved posterior; a table of draws shows all columns")
    return diagnose(_draws(arguments.files), parameters=arguments.parameter, **options)


def _loaded(name: str) -> Any:
    """A saved posterior of ours, or one that ArviZ wrote."""
    from .errors import LoadError
    from .io import load

    try:
        return load(name)
    except LoadError:
        tree = _foreign(name)
        if tree is None:
            raise
        return tree


def _foreign(name: str) -> Any:
    """What ArviZ wrote to a netCDF-4 file; None for other files and damaged ones of ours."""
    import xarray

    try:
        tree = xarray.open_datatree(name, engine="h5netcdf")
    except (OSError, ValueError):
        return None
    return tree if "posterior" in tree.children and "bayesglmm" not in tree.children else None


def _draws(files: list[str]) -> "AnyDraws":
    """Read the files, and put their chains together."""
    from . import any_draws, frames, parquet
    from .errors import DataError

    parts = []
    for name in files:
        if Path(name).suffix == ".nc":
            raise DataError(f"{name}: a saved posterior holds all its chains; give it alone")
        read = parquet if Path(name).suffix == ".parquet" else frames
        parts.append(any_draws.of_columns(read.read_columns(name), name))
    return any_draws.beside(parts)
