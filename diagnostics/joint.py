"""The joint-distribution test of every sampler: which structures, priors and families it covers.

Two ways to simulate parameters, effects and responses have to agree: from the priors, and by a
sampler that alternates with new responses (Geweke 2004; ``tests/joint.py``). Each line is a
sampler, or one of its moves alone, on a tiny model. |z| of all test functions has to be below 4;
one that is not is looked at again with another seed and five times the draws, and is red only if
it is so again. ``--ess 5000`` runs whole cycles of every sampler (`MAIN`) anew with as many draws
as it takes until every function has so large an effective sample size; so it does the others that
are done with in ``--cheap`` seconds.
"""

import sys
import time
import warnings
from functools import partial
from pathlib import Path

import classical_joint
import crossed_cases
import general_cases as general
import joint
import joint_crossed
import test_classical
import test_collapsed
import test_joint_distribution
from joint import DRAWS, LARGEST_Z, Case
from joint_crossed import CrossedCase

from .kept import Kept
from .report import Report, parser

LONG = 5  # times the draws, for a second look
GOAL = 5000  # effective sample size
MORE = 1.2  # times the draws that would just do
# Whole cycles of every sampler: responses of all kinds, one factor and several.
MAIN = [
    ("gibbs", "bernoulli"),
    ("gibbs", "poisson, LKJ"),
    ("gibbs", "gaussian"),
    ("gibbs", "negative binomial"),
    ("gibbs, walk", "bernoulli"),
    ("gibbs, linear", "bernoulli, diagonal"),
    ("collapsed", "gaussian, LKJ"),
    ("collapsed, walk", "gaussian"),
    ("crossed", "bernoulli"),
    ("crossed", "poisson, slope"),
    ("crossed", "gaussian"),
    ("crossed", "bernoulli, nested"),
    ("nuts", "bernoulli"),
    ("nuts", "gaussian"),
    ("nuts", "gamma"),
    ("hmc", "bernoulli"),
    ("hmc", "negative binomial"),
    ("classical", "bernoulli"),
    ("classical", "gaussian"),
    ("classical", "bernoulli, crossed"),
]
# What the models of the tests leave out.
GENERAL = [
    *((case, "gibbs") for case in general.ONE),
    *((case, "gibbs, walk") for case in (general.HUANG, general.LKJ_THREE, general.GAMMA)),
    *((case, "gibbs, linear") for case in (general.LKJ_THREE, general.WEIGHTED)),
    *((case, "crossed") for case in general.SEVERAL),
    *((case, "crossed, walk") for case in (general.NESTED_LKJ, general.CROSSED_SHAPE)),
    *((case, "collapsed") for case in (general.KNOWN, general.NESTED_GAUSSIAN)),
    (general.CROSSED_KNOWN, "collapsed"),
    *(
        (case, "nuts")
        for case in (
            general.LKJ_THREE, general.HUANG, general.KNOWN, general.WEIGHTED, general.CLOGLOG,
            general.TWO_TERMS, general.CENTRED, general.NESTED_LKJ, general.CROSSED_SIZE,
            general.CROSSED_SHAPE,
        )
    ),
    *((case, "hmc") for case in (general.LKJ_THREE, general.CROSSED_PROBIT)),
    *(
        (case, "classical")
        for case in (
            general.LKJ_THREE, general.HUANG, general.HALF_T, general.VARIANCE, general.KNOWN,
            general.WEIGHTED, general.TWO_TERMS, general.PROBIT, general.NESTED_LKJ,
            general.CROSSED_SHAPE, general.TWO_SLOPES, general.CROSSED_HUANG,
        )
    ),
]  # fmt: skip


def configurations() -> list[tuple[Case, str]]:
    """Models and samplers, each once."""
    crossed = [(c, s) for s in ("crossed", "crossed, walk") for c in crossed_cases.CASES]
    found: list[tuple[Case, str]] = []
    for one in (
        *test_joint_distribution.FAST,
        *test_joint_distribution.SLOW,
        *test_collapsed.JOINT,
        *crossed,
        *test_classical.FAST,
        *test_classical.SLOW,
        *GENERAL,
    ):
        if one not in found:
            found.append(one)
    return found


def look(case: Case, sampler: str, draws: int) -> list[str]:
    """Row of the table."""
    begun = time.process_time()
    module = joint_crossed if isinstance(case, CrossedCase) else joint
    z, ess = module.deviations(case, sampler, draws=draws)
    worst = max(abs(value) for value in z.values())
    first = {name for name, value in z.items() if not abs(value) < LARGEST_Z}
    red = []
    if first:
        draws *= LONG
        again, ess = module.deviations(case, sampler, draws=draws, seed=2)
        red = [name for name in sorted(first) if not abs(again[name]) < LARGEST_Z]
    return [
        sampler,
        case.name,
        str(len(z)),
        f"{ess:.0f}",
        f"{worst:.2f}",
        "looked at again" if first and not red else ", ".join(red) or "-",
        f"{time.process_time() - begun:.0f}",
        str(draws),
    ]


def main() -> int:
    """Run all, or what is named."""
    options = parser(__doc__)
    options.add_argument("--name", action="append", default=[], help="part of a name; repeatable")
    options.add_argument("--draws", type=int, default=DRAWS)
    options.add_argument("--ess", type=float, help="that each of the main ones is to reach")
    options.add_argument("--cheap", type=float, default=0.0, help="seconds of CPU")
    options.add_argument("--state", type=Path, help="rows of a run that was stopped; goes on there")
    options.add_argument("--report", action="store_true", help="run nothing: what is known so far")
    arguments = options.parse_args()
    report = Report("joint", keep=not arguments.no_save)
    classical_joint.register()
    warnings.simplefilter("ignore")  # the data of these tests are what is warned of
    kept = Kept(arguments.state, lambda row: tuple(row[:2]))
    lines, missing = [], 0
    for case, sampler in configurations():
        if arguments.name and not any(w in f"{sampler} {case.name}" for w in arguments.name):
            continue
        key = sampler, case.name
        if arguments.report and key not in kept.rows:
            missing += 1
            continue
        row = kept.get(key, partial(look, case, sampler, arguments.draws))
        times = MORE * (arguments.ess or 0.0) / float(row[3])
        if times > MORE and (key in MAIN or times * float(row[6]) <= arguments.cheap):
            del kept.rows[key]
            row = kept.get(key, partial(look, case, sampler, int(times * int(row[7]))))
        lines.append(row)
    columns = ("sampler", "model", "functions", "least ESS", "worst z", "red", "CPU", "draws")
    report.table(columns, lines)
    red = sum(line[5] not in ("-", "looked at again") for line in lines)
    report(f"{len(lines)} samplers and models, {sum(int(line[2]) for line in lines)} functions")
    report(f"{sum(line[5] == 'looked at again' for line in lines)} looked at again, {red} red")
    sizes = [float(line[3]) for line in lines if (line[0], line[1]) in MAIN]
    report(
        f"whole cycles of every sampler: {len(sizes)}, least ESS {min(sizes, default=0.0):.0f}, "
        f"{sum(size > GOAL for size in sizes)} above {GOAL}"
    )
    report(f"{sum(float(line[3]) > GOAL for line in lines)} of all above {GOAL}")
    if missing:
        report(f"{missing} not run")
    report.save()
    return 0 if red == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
