"""``bayesglmm report``: the report of a saved posterior."""

import argparse
import sys
from pathlib import Path

from .cli_arguments import GOOD, NOT_CONVERGED, free

EXAMPLES = """\
examples:
  bayesglmm sample epilepsy "seizures ~ treat + (1 | id)" --family poisson --save epilepsy.nc
  bayesglmm report epilepsy.nc
  bayesglmm report epilepsy.nc seizures.html --title "Progabide against placebo"
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Give the command its arguments."""
    parser.set_defaults(run=run)
    parser.add_argument("file", metavar="FILE", help="a posterior saved by sample --save")
    parser.add_argument(
        "report", metavar="REPORT", nargs="?", help="the page; FILE with .html if not given"
    )
    parser.add_argument("--title", help="heading of the page")
    parser.add_argument("--force", action="store_true", help="replace a page that is there")


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    path = arguments.report or str(Path(arguments.file).with_suffix(".html"))
    check(path, force=arguments.force)
    from .errors import DataError
    from .io import load
    from .posterior import Posterior

    post = load(arguments.file)
    if not isinstance(post, Posterior):
        raise DataError(f"{arguments.file} holds a fit; a report is of a posterior")
    written = post.report(path, title=arguments.title, force=arguments.force)
    print(written)
    if not post.verdict.ok:
        print(f"warning: {post.verdict}", file=sys.stderr)
    return GOOD if post.verdict.ok else NOT_CONVERGED


def check(path: str | None, *, force: bool) -> None:
    """Refuse a file that no report can be, before anything is computed."""
    from .errors import DataError

    if path and Path(path).suffix not in (".html", ".htm"):
        raise DataError(f"a report is saved as .html, not as {path!r}")
    free(path, force=force)
