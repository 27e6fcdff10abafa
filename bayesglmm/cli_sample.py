"""``bayesglmm sample``: sample the posterior and print its summary."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from . import cli_report, exports
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
    from .posterior import Posterior


def add(parser: argparse.ArgumentParser) -> None:
    """Give the command its arguments."""
    parser.set_defaults(run=run)
    add_model(parser)
    add_sampler(parser)
    add_output(parser)
    parser.add_argument("--save", metavar="FILE", help="save the posterior to a netCDF file")
    parser.add_argument("--table", metavar="FILE", help="save the summary as .csv, .md or .tex")
    parser.add_argument("--report", metavar="FILE", help="write a report, one HTML file")
    parser.add_argument(
        "--force", action="store_true", help="let --save, --table and --report replace a file"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    free(arguments.save, arguments.table, force=arguments.force)
    if arguments.table:
        exports.check(arguments.table)
    cli_report.check(arguments.report, force=arguments.force)
    clock = Clock()
    made = model(arguments, clock)
    with clock("sample"):
        post = sampled(arguments, made)
    with clock("summary"):
        text = json.dumps(record(post)) if arguments.json else str(post)
    print(text)
    print_timing(arguments, clock, post.run.seconds)
    if arguments.save:
        post.save(arguments.save, force=arguments.force)
    if arguments.table:
        exports.save(arguments.table, post.table().records())
    if arguments.report:
        post.report(arguments.report, force=arguments.force)
    if post.run.interrupted:
        return INTERRUPTED
    return GOOD if post.verdict.ok else NOT_CONVERGED


def record(post: "Posterior") -> dict[str, Any]:
    """Return what ``--json`` prints."""
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
