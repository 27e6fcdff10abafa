"""Exact tests of the samplers' transitions: ranks of parts alone, and whole sweeps.

Parameters and effects are drawn from their priors and responses given them; a chain of 10 states is
laid through the draw, whose rank among them has to be uniform (Gandy and Scott 2020). Each step of
each sampler that can be run alone is reversible and tested so, on models where it differs. Sweeps,
which are not reversible, are compared with independent draws. See ``tests/exact_ranks.py``.

A function whose p-value is below .005 is tested again with another seed and twice the chains, and
is red only if it is so again: of so many functions one in two hundred is below by chance.
"""

import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import classical_joint
import exact_ranks
from exact_ranks import CHAINS, LEVEL, PARTS
from general_cases import RANKED, SWEPT
from joint_crossed import SAMPLERS

from .kept import Kept
from .report import Report, parser


def main() -> int:
    """Run all, or what is named."""
    options = parser(__doc__)
    options.add_argument("--name", action="append", default=[], help="part of a name; repeatable")
    options.add_argument("--chains", type=int, default=CHAINS)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--state", type=Path, help="rows of a run that was stopped; goes on there")
    arguments = options.parse_args()
    report = Report("exact_ranks", keep=not arguments.no_save)
    classical_joint.register()
    warnings.simplefilter("ignore")  # the data of these tests are what is warned of
    made = [(exact_ranks.ranks, "ranks", name, case, PARTS[name]) for name, case in RANKED]
    made += [(exact_ranks.moved, "sweeps", name, case, SAMPLERS[name]) for name, case in SWEPT]
    kept = Kept(arguments.state, lambda row: tuple(row[:3]))

    def look(test: Any, key: tuple[str, str, str], case: Any, part: Any) -> list[str]:
        begun = time.process_time()
        least, count, bad = exact_ranks.red(
            test, case, part, chains=arguments.chains, seed=arguments.seed
        )
        row = [*key, str(count), f"{least:.4f}", ", ".join(bad) or "-"]
        return [*row, f"{time.process_time() - begun:.0f}"]

    lines = []
    for test, kind, name, case, part in made:
        if arguments.name and not any(word in f"{kind} {name}" for word in arguments.name):
            continue
        key = kind, name, case.name
        lines.append(kept.get(key, partial(look, test, key, case, part)))
    report.table(("test", "part", "model", "functions", "least p", "red", "CPU"), lines)
    report(f"{arguments.chains} chains; seeds {arguments.seed} and {arguments.seed + 1000}")
    functions, again = sum(int(line[3]) for line in lines), sum(float(r[4]) < LEVEL for r in lines)
    red = sum(line[5] != "-" for line in lines)
    report(f"{functions} functions of {len(lines)} tests; {again} tests had a second stage")
    report(f"{red} red")
    report.save()
    return 0 if red == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
