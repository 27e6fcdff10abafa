"""``bayesglmm predict``: predictions of a saved posterior."""

import argparse
import json

from .cli_arguments import GOOD, add_reading, free, table

EXAMPLES = """\
examples:
  bayesglmm predict herds.nc
  bayesglmm predict herds.nc new.csv --new-levels sample --save predicted.csv
  bayesglmm predict herds.nc new.csv --effects marginal --scale link --json

new.csv has the predictors, and the groups where their effects count.
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Give the command its arguments."""
    parser.set_defaults(run=run)
    parser.add_argument("file", metavar="FILE", help="a posterior saved by sample --save")
    parser.add_argument(
        "data", metavar="DATA", nargs="?", help="new rows, CSV or Parquet; if not given the data"
    )
    parser.add_argument(
        "--effects",
        choices=["conditional", "population", "marginal"],
        default="conditional",
        help="given the effects of the groups, at effects of 0, or averaged over groups",
    )
    parser.add_argument(
        "--new-levels",
        choices=["refuse", "sample", "zero"],
        default="refuse",
        help="groups that the posterior does not know: refuse them, draw their effects, or take "
        "them as 0",
    )
    parser.add_argument("--scale", choices=["response", "link"], default="response")
    parser.add_argument(
        "--responses", action="store_true", help="draw new responses rather than their means"
    )
    parser.add_argument("--ci-prob", type=float, default=0.95, help="probability of the limits")
    add_reading(parser)
    parser.add_argument("--save", metavar="FILE", help="save the table as .csv, .md or .tex")
    parser.add_argument("--force", action="store_true", help="let --save replace a file")
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from . import exports
    from .errors import DataError
    from .io import load
    from .posterior import Posterior

    if arguments.save:
        exports.check(arguments.save)
        free(arguments.save, force=arguments.force)
    if arguments.responses and arguments.scale == "link":
        raise DataError("responses have no link scale; leave out --scale or --responses")
    post = load(arguments.file)
    if not isinstance(post, Posterior):
        raise DataError(f"{arguments.file} holds a fit; predictions are of a posterior")
    new = None
    if arguments.data is not None:
        new = table(arguments.data, arguments.factor, arguments.na)
    elif arguments.factor or arguments.na:
        raise DataError("--factor and --na are for new rows, and there are none")
    options = {"effects": arguments.effects, "new_levels": arguments.new_levels}
    if arguments.responses:
        drawn = post.predictive(new, **options)
        made, text = drawn.table(ci_prob=arguments.ci_prob), ""
    else:
        found = post.predict(new, scale=arguments.scale, ci_prob=arguments.ci_prob, **options)
        made, text = found.table(), str(found)
    if arguments.json:
        print(json.dumps({"rows": made.records()}))
    elif not arguments.save:
        print(text or made)
    if arguments.save:
        exports.save(arguments.save, made.records())
    return GOOD
