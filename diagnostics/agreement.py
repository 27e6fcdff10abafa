"""Every sampler, family, link and structure against `nuts`, on small simulated data.

The rule is that of the reference posteriors: |z| < 4 with the Monte Carlo errors of both sides (4.5
for more than 60 parameters), and means, sds and quantiles of parameters with 4,000 effective draws
on both sides. A sampler goes on until all its parameters have them, within a limit of draws.
Samplers and what each refuses are the package's own: a new one appears by itself.

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
from references import Moments, disagreements, moments

import bayesglmm as bg
from bayesglmm.choice import SAMPLERS, choose
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
STATE = Path(tempfile.gettempdir()) / "bayesglmm-agreement.jsonl"
REFUSED = "-"  # in the table: the sampler is not for this model


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


def run(cell: Cell, sampler: str, longest: int | None = None) -> Result | None:
    """Sample a cell; None if the sampler refuses its structure."""
    model = cell.model()
    try:
        choose(model, sampler)
    except bg.DataError:
        return None
    hamiltonian = sampler in ("nuts", "hmc")
    if longest is None:
        longest = LONGEST_HAMILTONIAN if hamiltonian else LONGEST
    begun, draws = time.process_time(), min(FIRST, longest)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the verdict, which is kept
        try:
            post = model.sample(
                sampler=sampler,
                draws=draws,
                warmup=WARMUP_HAMILTONIAN if hamiltonian else WARMUP,
                seed=SEED,
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
            return Result(cell.name, sampler, {}, 0, 0, (), seconds, text)
    return Result(
        cell.name,
        sampler,
        found,
        post.draws,
        int(np.sum(post.stats.get("divergent", 0))),
        tuple(f"{item.check} {item.value:.3g}" for item in post.verdict.items),
        time.process_time() - begun,
    )


def worst(ours: Result, known: Result) -> float:
    """Largest |z| over the parameters."""
    pairs = [(a, known.moments[name]) for name, a in ours.moments.items()]
    return max(abs(a.mean - b.mean) / math.hypot(a.mcse, b.mcse) for a, b in pairs)


def samplers() -> tuple[str, ...]:
    """All samplers, the one that the others are held against first."""
    return (AGAINST, *(s for s in SAMPLERS if s not in ("auto", AGAINST)))


def read(state: Path) -> dict[tuple[str, str], Result]:
    """Results of a state file; of two of the same cell the later one."""
    if not state.exists():
        return {}
    found = [result_of(line) for line in state.read_text().splitlines() if line.strip()]
    return {(result.cell, result.sampler): result for result in found}


def tabulate(report: Report, chosen: Iterable[Cell], known: dict[tuple[str, str], Result]) -> bool:
    """Print the table and what disagrees; return whether nothing does."""
    rows, broken, complaints = [], [], []
    others = samplers()[1:]
    worst_of = dict.fromkeys(others, (0.0, ""))
    count = 0
    for cell in chosen:
        base = known.get((cell.name, AGAINST))
        if base is None:
            continue
        if base.failure:
            broken.append(f"{cell.name}, {AGAINST}: {base.failure}")
            continue
        figures = []
        for sampler in others:
            own = known.get((cell.name, sampler))
            if own is None:
                figures.append(REFUSED)
                continue
            if own.failure:
                figures.append("failed")
                broken.append(f"{cell.name}, {sampler}: {own.failure}")
                continue
            z, lost = worst(own, base), disagreements(own.moments, base.moments)
            worst_of[sampler] = max(worst_of[sampler], (z, cell.name))
            figures.append(f"{z:.2f}" + ("!" if lost else ""))
            broken += [f"{cell.name}, {sampler}: {text}" for text in lost]
            count += 1
        all_of = [r for r in (known.get((cell.name, s)) for s in samplers()) if r is not None]
        complaints += [
            f"{cell.name}, {r.sampler}: {', '.join(r.verdict)}" for r in all_of if r.verdict
        ]
        ess = min(m.ess for m in base.moments.values())
        rows.append(
            (cell.name, *figures, str(len(base.moments)), f"{ess:,.0f}", str(base.divergent))
        )
    report(f"Worst |z| of each sampler against {AGAINST}; {REFUSED}: not for this structure")
    report.table(("cell", *others, "parameters", f"ESS of {AGAINST}", "divergent"), rows)
    for sampler, (z, name) in worst_of.items():
        if name:
            report(f"worst |z| of {sampler}: {z:.2f} ({name})")
    if complaints:
        report("\nWhat the verdict of a run complains of")
        for text in complaints:
            report(f"  {text}")
    if broken:
        report("\nDisagreements")
        for text in broken:
            report(f"  {text}")
    cell_count = len({text.split(": ")[0] for text in broken})
    report(f"\n{count} comparisons, {cell_count} of them broken")
    return not broken


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
    for cell in () if arguments.table else order:
        for sampler in samplers():
            if arguments.sampler and sampler not in arguments.sampler:
                continue
            if (cell.name, sampler) in known and not arguments.again:
                continue
            result = run(cell, sampler)
            if result is None:
                continue
            known[cell.name, sampler] = result
            with arguments.state.open("a", encoding="utf-8") as file:
                file.write(line_of(result) + "\n")
                file.flush()
                os.fsync(file.fileno())
            ess = min((m.ess for m in result.moments.values()), default=0.0)
            print(
                f"{cell.name}, {sampler}: {result.draws} draws, ESS {ess:.0f}, "
                f"{result.seconds:.1f} s {result.failure}",
                file=sys.stderr,
                flush=True,
            )
    report = Report("agreement", not arguments.no_save)
    good = tabulate(report, chosen, known)
    report.save()
    return 0 if good else 1


def _picked(name: str, parts: list[str], whole: bool = False) -> bool:
    return not parts or any(part == name if whole else part in name for part in parts)


if __name__ == "__main__":
    sys.exit(main())
