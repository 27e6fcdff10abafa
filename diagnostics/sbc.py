"""Simulation-based calibration of every sampler, family, structure and kind of prior.

Parameters are drawn from the prior, data from the model, and the parameters ranked among 99 nearly
independent draws of one chain: if density and sampler are right the ranks are uniform (Talts et al.
2018; Modrák et al. 2023 on why log likelihood and others that depend on the data have to be among
the quantities). Uniformity is judged by the exact p of `sbc_ranks`, in two stages: a quantity with
p < .005 is drawn anew, other seeds and twice the replicates, and is red only if p < .005 again.

A replicate whose chain has too few effective draws goes on until it has; at 64 times the first
length it is ranked as it is, and counted as capped. A replicate that fails is a failure.

Run as ``python -m diagnostics.sbc [--cells PART] [--samplers S] [--replicates N] [--processes N]
[--hours H]``; the replicates are kept one a line in the file ``--runs``, and those that are there
are not run again. They come in blocks of 100 of every cell, so that to stop at any time leaves a
table. ``--report`` runs nothing; ``--plot FILE.png`` draws the curves of ranks of the cells.
"""

import argparse
import csv
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

import bayesglmm as bg
from bayesglmm.choice import SAMPLERS, choose

from . import RESULTS, sbc_runs
from .report import Report, parser
from .sbc_cells import BY_NAME, CELLS, Cell
from .sbc_ranks import ALPHA, p_value
from .sbc_runs import Key, Line

RUNS = Path(tempfile.gettempdir()) / "bayesglmm-sbc.jsonl"
REPLICATES = 1000
BLOCK, BATCH = 100, 20  # replicates of a cell in turn; that one process does at a time
SOME = 200  # of each sampler before more of those that are the default somewhere
USUAL = ("gibbs", "nuts", "collapsed")
TIMES = 2  # the replicates of the second stage
SHARES = (0.005, 0.05, 0.25, 0.5, 0.75)  # where the report counts how many p are below
FINE, CHANCE, PENDING, RED = "", "chance", "PENDING", "RED"


def samplers() -> tuple[str, ...]:
    """All samplers, the usual first."""
    return tuple(sorted((s for s in SAMPLERS if s != "auto"), key=lambda s: s not in USUAL))


def pairs(cells: Sequence[Cell], chosen: Sequence[str]) -> list[tuple[str, str]]:
    """Names of cells with each sampler that does not refuse them."""
    out = []
    for cell in cells:
        for sampler in chosen:
            try:
                choose(cell.model, sampler)
            except bg.DataError:
                continue
            out.append((cell.name, sampler))
    return out


class Quantity(NamedTuple):
    """What is known of one quantity of a cell with a sampler."""

    cell: str
    sampler: str
    name: str
    n: int  # replicates
    p: float
    n_again: int  # of the second stage
    p_again: float

    @property
    def first(self) -> bool:
        """Whether it is red in the first stage."""
        return self.p < ALPHA

    @property
    def verdict(self) -> str:
        """By both stages."""
        if not self.first:
            return FINE
        if self.n_again < TIMES * self.n:
            return PENDING
        return RED if self.p_again < ALPHA else CHANCE


def names_of(cell: Cell) -> list[str]:
    """Names of a cell's quantities."""
    values = cell.draw(np.random.default_rng(0))
    return list(cell.quantities(values, cell.model.design.response.y))


def judge(lines: Iterable[Line]) -> list[Quantity]:
    """Every quantity of every cell and sampler that has lines."""
    found = sbc_runs.tables(lines)
    out = []
    for cell, sampler in dict.fromkeys((cell, sampler) for cell, sampler, _ in found):
        first = _ranks(found.get((cell, sampler, 1), []))
        again = _ranks(found.get((cell, sampler, 2), []))
        if not len(first):
            continue
        for k, name in enumerate(names_of(BY_NAME[cell])):
            p, p_again = p_value(first[:, k]), 1.0
            if p < ALPHA and len(again):
                p_again = p_value(again[:, k])
            out.append(Quantity(cell, sampler, name, len(first), p, len(again), p_again))
    return out


def _ranks(lines: Iterable[Line]) -> np.ndarray:
    """Ranks (replicates, quantities) of lines that did not fail."""
    return np.array([line.ranks for line in lines if not line.failure], dtype=np.int64)


def first_stage(
    wanted: Sequence[tuple[str, str]], replicates: int, known: Iterable[Key]
) -> Iterator[list[Key]]:
    """Batches that are not known yet, in blocks of every cell."""
    done = set(known)
    turns = [
        (start >= SOME and sampler not in USUAL, start, cell, sampler)
        for start in range(0, replicates, BLOCK)
        for cell, sampler in wanted
    ]
    for _, start, cell, sampler in sorted(turns, key=lambda turn: turn[:2]):
        yield from _batches(cell, sampler, 1, range(start, min(start + BLOCK, replicates)), done)


def second_stage(judged: Iterable[Quantity], known: Iterable[Key]) -> Iterator[list[Key]]:
    """Batches of the cells with a quantity that is red in the first stage."""
    done = set(known)
    red = {(q.cell, q.sampler): TIMES * q.n for q in judged if q.first}
    for (cell, sampler), count in red.items():
        yield from _batches(cell, sampler, 2, range(count), done)


def _batches(
    cell: str, sampler: str, stage: int, numbers: Iterable[int], done: set[Key]
) -> Iterator[list[Key]]:
    keys = (Key(cell, sampler, stage, number) for number in numbers)
    missing = iter([key for key in keys if key not in done])
    while batch := list(islice(missing, BATCH)):
        yield batch


def replicates_of(
    keys: Sequence[Key], replicate: Callable[[Key], Line] = sbc_runs.replicate
) -> list[Line]:
    """Run the replicates of some keys."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a fit that is only where a chain starts
        return [replicate(key) for key in keys]


def run(batches: Iterator[list[Key]], runs: Path, processes: int, until: float) -> bool:
    """Run batches and keep their lines, until there are no more (True) or time is up."""
    if processes == 1:
        for batch in batches:
            if time.monotonic() > until:
                return False
            sbc_runs.append(runs, replicates_of(batch))
        return True
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        going: set[Future[list[Line]]] = set()
        while True:
            late = time.monotonic() > until
            room = 0 if late else 2 * processes - len(going)
            going |= {pool.submit(replicates_of, batch) for batch in islice(batches, room)}
            if not going:
                return not late
            done, going = wait(going, return_when=FIRST_COMPLETED)
            for one in done:
                sbc_runs.append(runs, one.result())


def report_of(report: Report, lines: list[Line]) -> bool:
    """Print what the lines show; return whether nothing is red, pending or failed."""
    judged = judge(lines)
    found = sbc_runs.tables(lines)
    rows, good = [], True
    for (cell, sampler, stage), own in found.items():
        if stage != 1:
            continue
        mine = [q for q in judged if (q.cell, q.sampler) == (cell, sampler)]
        failed = sum(bool(line.failure) for line in own)
        good &= failed == 0
        least = min(mine, key=lambda q: q.p, default=None)
        rows.append(
            (
                cell,
                sampler,
                str(len(own)),
                str(len(mine)),
                f"{least.p:.4f}" if least else "-",
                least.name if least else "-",
                str(sum(q.first for q in mine)),
                str(sum(q.verdict == RED for q in mine)),
                str(sum(line.capped for line in own)),
                str(failed),
            )
        )
    order = {cell.name: k for k, cell in enumerate(CELLS)}
    rows.sort(key=lambda row: (samplers().index(row[1]), order[row[0]]))
    head = ("cell", "sampler", "replicates", "quantities", "least p", "of", "red at first")
    report.table((*head, "red twice", "capped", "failed"), rows)
    _summary(report, judged, found)
    for line in (line for line in lines if line.failure):
        report(f"FAILED {line.cell}, {line.sampler}, number {line.number}: {line.failure}")
    seed = sbc_runs.SEED
    report(f"\nseeds [{seed}, crc32(cell), crc32(sampler), stage, number]; "
           f"md5 of the {len(lines):,} ordered lines {sbc_runs.md5(lines)}")  # fmt: skip
    return good and not any(q.verdict in (RED, PENDING) for q in judged)


def _summary(
    report: Report, judged: list[Quantity], found: dict[tuple[str, str, int], list[Line]]
) -> None:
    rows = []
    for sampler in samplers():
        mine = [q for q in judged if q.sampler == sampler]
        own = [line for (_, s, _), lines in found.items() for line in lines if s == sampler]
        if not own:
            continue
        rows.append(
            (
                sampler,
                str(len({q.cell for q in mine})),
                f"{len(own):,}",
                str(len(mine)),
                f"{ALPHA * len(mine):.1f}",
                str(sum(q.first for q in mine)),
                str(sum(q.verdict == RED for q in mine)),
                f"{np.median([line.draws for line in own]):.0f}",
                str(sum(line.capped for line in own)),
            )
        )
    report.table(
        (
            "sampler",
            "cells",
            "replicates",
            "quantities",
            "red by chance",
            "red at first",
            "red twice",
            "iterations",
            "capped",
        ),
        rows,
    )
    p = np.array([q.p for q in judged])
    shares = ", ".join(f"{np.mean(p < alpha):.4g} below {alpha}" for alpha in SHARES)
    report(f"of the {p.size:,} p of the first stage {shares}\n")
    for q in (q for q in judged if q.first):
        report(
            f"{q.verdict:8s} {q.cell}, {q.sampler}, {q.name}: p {q.p:.4f} of {q.n}, then "
            + (f"{q.p_again:.4f} of {q.n_again}" if q.n_again else "not run yet")
        )


def table_of_p(judged: list[Quantity], path: Path) -> None:
    """Write the p of the first stage: a row for each cell and sampler, a column for each name."""
    rows: dict[tuple[str, str, int], dict[str, str]] = {}
    for q in judged:
        rows.setdefault((q.cell, q.sampler, q.n), {})[q.name] = f"{q.p:.4f}"
    names = list(dict.fromkeys(q.name for q in judged))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["cell", "sampler", "replicates", *names])
        for key in sorted(rows):
            writer.writerow([*key, *(rows[key].get(name, "") for name in names)])


def options() -> argparse.Namespace:
    """Arguments of the command."""
    own = parser(__doc__)
    own.add_argument("--cells", action="append", default=[], help="part of a name; repeatable")
    own.add_argument("--samplers", action="append", choices=samplers(), help="repeatable")
    own.add_argument("--replicates", type=int, default=REPLICATES, help="of the first stage")
    own.add_argument("--processes", type=int, default=1)
    own.add_argument("--hours", type=float, default=float("inf"), help="after which to stop")
    own.add_argument("--runs", type=Path, default=RUNS, help="where the replicates are kept")
    own.add_argument("--second", action="store_true", help="the second stage at once")
    own.add_argument("--retry", action="store_true", help="those that failed are run again")
    own.add_argument("--report", action="store_true", help="run nothing")
    own.add_argument("--plot", type=Path, help="picture of the curves of ranks")
    return own.parse_args()


def main() -> int:
    """Run what is wanting, and print what there is."""
    arguments = options()
    cells = [c for c in CELLS if not arguments.cells or any(p in c.name for p in arguments.cells)]
    wanted = pairs(cells, arguments.samplers or samplers())
    report = Report("sbc", keep=not arguments.no_save)
    until = time.monotonic() + 3600.0 * arguments.hours
    runs = arguments.runs
    if not arguments.report:
        known = sbc_runs.read(runs).values()
        done = [line.key for line in known if not (arguments.retry and line.failure)]
        batches = first_stage(wanted, arguments.replicates, done)
        if arguments.second or run(batches, runs, arguments.processes, until):
            lines = _chosen(runs, wanted)
            again = second_stage(judge(lines), [line.key for line in lines])
            run(again, runs, arguments.processes, until)
    lines = _chosen(runs, wanted)
    good = report_of(report, lines)
    if arguments.plot is not None:
        from .sbc_plot import draw

        draw(lines, arguments.plot)
    if report.keep:
        table_of_p(judge(lines), RESULTS / "sbc_p.csv")
    report.save()
    return 0 if good else 1


def _chosen(runs: Path, wanted: Sequence[tuple[str, str]]) -> list[Line]:
    return [line for line in sbc_runs.read(runs).values() if (line.cell, line.sampler) in wanted]


if __name__ == "__main__":
    sys.exit(main())
