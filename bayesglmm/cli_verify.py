"""``bayesglmm verify``: whether the installed copy is right."""

import argparse
import json
from typing import TYPE_CHECKING

from .cli_arguments import GOOD, NOT_CONVERGED

if TYPE_CHECKING:
    from .verification import Check


def add(parser: argparse.ArgumentParser) -> None:
    """Give the command its arguments."""
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code: 0 if all checks passed, else 1."""
    from .verification import verify

    found = verify(None if arguments.json else _say)
    if arguments.json:
        print(json.dumps(found.record()))
    else:
        print(f"\n{found.conclusion}")
    return GOOD if found.ok else NOT_CONVERGED


def _say(check: "Check") -> None:
    """Print a check when it is done."""
    print(check, flush=True)
