"""Every sampler, family, link and structure against `nuts`, on small simulated data.

The rule is that of the reference posteriors: |z| < 4 with the Monte Carlo errors of both sides (4.5
for more than 60 parameters), and means, sds and quantiles of parameters with 4,000 effective draws
on both sides. A sampler goes on until all its parameters have them, within a limit of draws.
Samplers and what each refuses are the package's own: a new one appears by itself.

Some 50,000 figures are compared, of which a few pass any limit by chance. So there are two stages:
a comparison that is red is run again, both samplers with another seed and 4 times the draws, and
is red only if it is red again. A comparison in which some parameter has less than 4,000 effective
draws at the limit is SHORT: of that parameter the mean alone is compared. With less than 400 it is
undecided: the Monte Carlo errors of so few draws are no yardstick.

Run as ``python -m diagnostics.agreement [--family F] [--structure S] [--sampler S] [--state FILE]``
(all repeatable, parts of names); results are kept one a line in the state file, and those that are
there are not run again unless ``--again``. ``--table`` prints what is there and runs nothing.
"""

import json
import math
import os
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from references import MIN_ESS, Moments, disagreements, moments

import bayesglmm as bg
from bayesglmm.choice import SAMPLERS, choose
from bayesglmm.crosscheck import LOST
from bayesglmm.posterior import Posterior

from .agreement_cells import Cell, cells
from .report import Report, parser

AGAINST = "nuts"
PARAMETERS = 40  # scalars first, then effects, evenly spaced
ENOUGH = 4_400  # effective draws of every parameter at which a sampler stops
FIRST, LONGEST = 1_500, 24_000  # draws of each of 4 chains; lengths are doubled between
LONGEST_HAMILTONIAN = 12_000
WARMUP, WARMUP_HAMILTONIAN = 1_000, 400
SEED = 11
AGAIN, SECOND_SEED = 4, 1011  # of the second stage: times the draws; its seed
STORED = 24_000  # draws of each chain that a second run keeps at most
STATE = Path(tempfile.gettempdir()) / "bayesglmm-agreement.jsonl"
REFUSED = "-"  # in the table: the sampler is not for this model
AGREES, CHANCE, SHORT, UNDECIDED, RED, PENDING = "", "+", "~", "?", "!", "!?"  # behind a |z|
MARKS = (
    f"{CHANCE} red at first, not in the second stage; {SHORT} short; {UNDECIDED} undecided; "
    f"{RED} red in both stages; {PENDING} red, second stage to come"
)


class Result(NamedTuple):
    """One sampler on one cell."""

    cell: str
    sampler: str
    moments: dict[str, Moments]
    draws: int  # of each chain
    divergent: int
    verdict: tuple[str, ...]  # what the verdict complains of
    seconds: float  # CPU
    failure: str = ""
    stage: int = 1

    @property
    def least(self) -> float:
        """Smallest number of effective draws of a parameter."""
        return min((m.ess for m in self.moments.values()), default=0.0)


Key = tuple[str, str, int]  # cell, sampler, stage
Known = dict[Key, Result]


def line_of(result: Result) -> str:
    """Return a result as a line of JSON."""
    content: dict[str, Any] = result._asdict()
    content["moments"] = {k: list(vars(m).values()) for k, m in result.moments.items()}
    return json.dumps(content)


def result_of(line: str) -> Result:
    """Return the result that a line of JSON holds."""
    content = json.loads(line)
    content["moments"] = {k: Moments(*m) for k, m in content["moments"].items()}
    content["verdict"] = tuple(content["verdict"])
    return Result(**content)


def parameters(post: Posterior) -> dict[str, np.ndarray]:
    """Draws (chains, draws) of the parameters that are compared."""
    out = dict(zip(post.names, np.moveaxis(post.scalar_draws, -1, 0), strict=True))
    effects, names = post.effect_draws, post.effect_names
    room = min(PARAMETERS - len(out), len(names))
    for k in np.linspace(0, len(names) - 1, max(0, room)).astype(int):
        out[names[k]] = effects[..., k]
    return out


def run(cell: Cell, sampler: str, first: Result | None = None) -> Result | None:
    """Sample a cell, or, with the result of the first stage, 4 times its draws by another seed.

    Returns None if the sampler refuses the cell's structure.
    """
    model = cell.model()
    try:
        choose(model, sampler)
    except bg.DataError:
        return None
    hamiltonian = sampler in ("nuts", "hmc")
    longest = LONGEST_HAMILTONIAN if hamiltonian else LONGEST
    draws, thin = FIRST, 1
    if first is not None:
        thin = -(-AGAIN * first.draws // STORED)
        draws = longest = AGAIN * first.draws // thin
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the verdict, which is kept
        try:
            post = model.sample(
                sampler=sampler,
                draws=draws,
                warmup=WARMUP_HAMILTONIAN if hamiltonian else WARMUP,
                seed=SEED if first is None else SECOND_SEED,
                thin=thin,
                jobs=1,
                progress=False,
            )
            while True:
                found = {name: moments(values) for name, values in parameters(post).items()}
                if post.draws >= longest or min(m.ess for m in found.values()) >= ENOUGH:
                    break
                post = post.extend(post.draws, jobs=1, progress=False)
        except (ArithmeticError, ValueError, RuntimeError) as reason:
            seconds = time.process_time() - begun
            text = f"{type(reason).__name__}: {reason}"
            return Result(cell.name, sampler, {}, 0, 0, (), seconds, text, _stage(first))
    return Result(
        cell.name,
        sampler,
        found,
        post.draws * thin,
        int(np.sum(post.stats.get("divergent", 0))),
        tuple(f"{item.check} {item.value:.3g}" for item in post.verdict.items),
        time.process_time() - begun,
        stage=_stage(first),
    )


def _stage(first: Result | None) -> int:
    return 1 if first is None else 2


def worst(ours: Result, known: Result) -> float:
    """Largest |z| over the parameters."""
    pairs = [(a, known.moments[name]) for name, a in ours.moments.items()]
    return max(abs(a.mean - b.mean) / math.hypot(a.mcse, b.mcse) for a, b in pairs)


def samplers() -> tuple[str, ...]:
    """All samplers, the one that the others are held against first."""
    return (AGAINST, *(s for s in SAMPLERS if s not in ("auto", AGAINST)))


def read(state: Path) -> Known:
    """Results of a state file; of two of the same cell the later one.

    A new result of the first stage makes what the second stage found of it out of date.
    """
    known: Known = {}
    for line in state.read_text().splitlines() if state.exists() else ():
        if line.strip():
            put(known, result_of(line))
    return known


def put(known: Known, result: Result) -> None:
    """Add a result."""
    if result.stage == 1:
        known.pop((result.cell, result.sampler, 2), None)
    known[result.cell, result.sampler, result.stage] = result


class Comparison(NamedTuple):
    """A sampler against the first one, on one cell."""

    cell: str
    sampler: str
    mark: str
    z: float  # of the last stage
    words: tuple[str, ...]
    first: bool  # whether red in the first stage


def compare(known: Known, cell: str, sampler: str) -> Comparison | None:
    """What is known of a sampler on a cell; None if it was not run."""
    sides = [known.get((cell, s, 1)) for s in (sampler, AGAINST)]
    own, base = sides
    if own is None or base is None:
        return None
    failures = [f"{side.sampler} {side.failure}" for side in (own, base) if side.failure]
    if failures:
        return Comparison(cell, sampler, RED, math.nan, tuple(failures), True)
    mark, words = _judge(own, base)
    first = mark == RED
    if first:
        second = [known.get((cell, s, 2)) for s in (sampler, AGAINST)]
        if second[0] is None or second[1] is None:
            mark = PENDING
        else:
            own, base = second[0], second[1]
            mark, words = _judge(own, base)
            mark = CHANCE if mark == AGREES else mark
    return Comparison(cell, sampler, mark, worst(own, base), words, first)


def wanting(known: Known, cell: str, sampler: str) -> list[str]:
    """Samplers that a comparison wants a second stage of, which is not there yet."""
    one = compare(known, cell, sampler)
    if one is None or one.mark != PENDING:
        return []
    return [side for side in (AGAINST, sampler) if (cell, side, 2) not in known]


def _judge(own: Result, base: Result) -> tuple[str, tuple[str, ...]]:
    """Judge one stage; the words say what is red, or which parameter is how short."""
    pairs = [(name, m, base.moments[name]) for name, m in own.moments.items()]
    short = min(pairs, key=lambda pair: min(pair[1].ess, pair[2].ess))
    ess = min(short[1].ess, short[2].ess)
    figure = (f"{short[0]}: {ess:.0f} effective draws of {4 * own.draws:,}",)
    # Of parameters that are lost nothing is compared, of others what the rule asks.
    fine = {n: m for n, m, other in pairs if min(m.ess, other.ess) >= LOST}
    lost = tuple(disagreements(fine, base.moments)) if fine else ()
    if lost:
        return RED, lost
    if ess < LOST:
        return UNDECIDED, figure
    return (SHORT, figure) if ess < MIN_ESS else (AGREES, ())


def tabulate(report: Report, chosen: Iterable[Cell], known: Known) -> bool:
    """Print the table and what disagrees; return whether nothing does."""
    others, chosen = samplers()[1:], list(chosen)
    rows, found, complaints = [], list[Comparison](), []
    for cell in chosen:
        base = known.get((cell.name, AGAINST, 1))
        if base is None:
            continue
        figures = []
        for sampler in others:
            one = compare(known, cell.name, sampler)
            figures.append(REFUSED if one is None else f"{one.z:.2f}{one.mark}")
            found += [] if one is None else [one]
        rows.append(
            (
                cell.name,
                *figures,
                str(len(base.moments)),
                f"{base.least:,.0f}",
                str(base.divergent),
            )
        )
        for sampler in samplers():
            last = known.get((cell.name, sampler, 2), known.get((cell.name, sampler, 1)))
            if last is not None and last.verdict:
                complaints.append(f"{cell.name}, {sampler}: {', '.join(last.verdict)}")
    report(f"Worst |z| of each sampler against {AGAINST}; {REFUSED} not for this structure")
    report(MARKS)
    report.table(("cell", *others, "parameters", f"ESS of {AGAINST}", "divergent"), rows)
    for title, mark in (
        ("Red in both stages", RED),
        ("Red in the first stage, the second to come", PENDING),
        ("Undecided: less than 400 effective draws", UNDECIDED),
        ("Short: did not reach 4,000 effective draws", SHORT),
    ):
        of_it = [one for one in found if one.mark == mark]
        if of_it:
            report(f"\n{title}")
        for one in of_it:
            for text in one.words:
                report(f"  {one.cell}, {one.sampler}: {text}")
    if complaints:
        report("\nWhat the verdict of a run complains of")
        for text in complaints:
            report(f"  {text}")
    report("\nWorst |z| of each sampler, by family and by structure")
    _worst_by(report, found, [cell.kind.name for cell in chosen], 0)
    _worst_by(report, found, [cell.structure.name for cell in chosen], 1)
    counts = {mark: sum(one.mark == mark for one in found) for mark in (RED, PENDING, UNDECIDED)}
    figures = sum(
        len(known[one.cell, one.sampler, 1].moments) for one in found if not math.isnan(one.z)
    )
    report(
        f"\n{len(found)} comparisons of {figures:,} parameters: red in the first stage "
        f"{sum(one.first for one in found)}, in the second too {counts[RED]}; still to be run "
        f"again {counts[PENDING]}; short {sum(one.mark == SHORT for one in found)}; undecided "
        f"{counts[UNDECIDED]}"
    )
    return not any(counts.values())


def _worst_by(report: Report, found: list[Comparison], names: list[str], part: int) -> None:
    """Print the worst |z| of each sampler for each family (part 0) or structure (part 1)."""
    lines, others = [], samplers()[1:]
    for name in dict.fromkeys(names):
        figures = []
        for sampler in others:
            own = [
                one.z
                for one in found
                if one.sampler == sampler and one.cell.split(", ", 1)[part] == name
            ]
            figures.append(f"{max(own):.2f}" if own else REFUSED)
        lines.append((name, *figures))
    report.table(("", *others), lines)


def main() -> int:
    options = parser(__doc__)
    for name in ("family", "structure", "sampler"):
        options.add_argument(f"--{name}", action="append", default=[], help="part of a name")
    options.add_argument("--state", type=Path, default=STATE)
    options.add_argument("--again", action="store_true", help="run what is there as well")
    options.add_argument("--table", action="store_true", help="run nothing")
    arguments = options.parse_args()
    chosen = [
        cell
        for cell in cells()
        if _picked(cell.kind.name, arguments.family)
        and _picked(cell.structure.name, arguments.structure, whole=True)
    ]
    known = read(arguments.state)
    # In no order, so that a part of all is of all kinds.
    order = sorted(chosen, key=lambda cell: zlib.crc32(cell.name.encode()))

    def add(cell: Cell, sampler: str, first: Result | None = None) -> None:
        result = run(cell, sampler, first)
        if result is None:
            return
        put(known, result)
        with arguments.state.open("a", encoding="utf-8") as file:
            file.write(line_of(result) + "\n")
            file.flush()
            os.fsync(file.fileno())
        print(
            f"{cell.name}, {sampler}, stage {result.stage}: {result.draws} draws, "
            f"ESS {result.least:.0f}, {result.seconds:.1f} s {result.failure}",
            file=sys.stderr,
            flush=True,
        )

    wanted = [s for s in samplers() if not arguments.sampler or s in arguments.sampler]
    for cell in () if arguments.table else order:
        for sampler in wanted:
            if (cell.name, sampler, 1) not in known or arguments.again:
                add(cell, sampler)
    for cell in () if arguments.table else order:
        for sampler in wanted:
            for side in wanting(known, cell.name, sampler):
                add(cell, side, known[cell.name, side, 1])
    report = Report("agreement", not arguments.no_save)
    good = tabulate(report, chosen, known)
    report.save()
    return 0 if good else 1


def _picked(name: str, parts: list[str], whole: bool = False) -> bool:
    return not parts or any(part == name if whole else part in name for part in parts)


if __name__ == "__main__":
    sys.exit(main())
