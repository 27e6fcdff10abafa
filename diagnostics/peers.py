"""Effective draws a second beside nutpie, NumPyro, Bambi and PyMC: one model, one minimum, one run.

The peers are installed into an environment of their own, with pinned versions. Every run is a fresh
process of 4 chains of 1000 + 1000 iterations on two cores, under the same priors (see
`peers_cases`), the effects not centred or centred as a peer's users write them; the better of both
counts where both were run. ESS is ArviZ's bulk ESS, the smallest over beta, sd, cor, sigma and all
effects u; R-hat the largest over the same. ESS a second is over CPU seconds of sampling: of all
threads and processes, compilation left out; wall-clock seconds stand beside, but other work on the
machine changes them. Where it is cheap a longer run gives ESS and R-hat.

A peer's result is kept in ``results/peers.json`` under its version, the model's fingerprint and the
program's, so that the command can be stopped and called again; ``--ours`` runs this package alone.

Run as ``python -m diagnostics.peers``; hours, most of them the peers'.
"""

import csv
import json
import math
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from . import RESULTS, peers_runs
from .peers_cases import BOTH, CASES, DATA, build, write
from .peers_runs import CONVERGED, DRAWS, PEERS, SHORT
from .report import Report, parser

STORE = RESULTS / "peers.json"
OURS = "bayesglmm"
CAP_MINUTES = 10.0
COMPILING = 30  # iterations of warm-up, and draws, of our first process, which may compile
WHOLE_GOAL = 5.0  # times every peer that runs NUTS, for a whole fresh process
VARIANTS = {False: "not centred", True: "centred"}


def load() -> dict[str, Any]:
    """Return the results so far."""
    return json.loads(STORE.read_text(encoding="utf-8")) if STORE.exists() else {}


def keep(results: dict[str, Any], key: str, result: dict[str, Any]) -> None:
    """Keep a result, in the file too."""
    results[key] = result
    RESULTS.mkdir(exist_ok=True)
    lines = [
        f"{json.dumps(name)}: {json.dumps(rounded(results[name]))}" for name in sorted(results)
    ]
    STORE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def rounded(value: Any) -> Any:
    """Return numbers with the digits that mean something."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def jobs(
    peers: list[str], cases: list[str], rounds: tuple[bool, ...]
) -> list[tuple[str, str, str]]:
    """Return (peer, case, variant) in order: what is likely the best of each case first."""
    out = []
    for second in rounds:
        for peer in peers:
            for name in cases:
                case = CASES[name]
                if peer in ("Bambi", "PyMC"):
                    # Bambi has no correlated effects: there PyMC's own NUTS takes PyMC's model.
                    right = case.correlated != PEERS[peer].correlated
                    variants = () if second or right else (False,)
                else:
                    variants = case.centred[1:] if second else case.centred[:1]
                out += [(peer, name, VARIANTS[variant]) for variant in variants]
    return out


def sample_peers(
    chosen: list[tuple[str, str, str]], venv: Path, cap: float, length: int, say: Any
) -> None:
    """Run what is not known yet, each with so many iterations of warm-up and of draws."""
    python = peers_runs.environment(venv)
    results = load()
    with tempfile.TemporaryDirectory() as name:
        for peer, case_name, variant in chosen:
            program, folder = PEERS[peer], Path(name) / case_name.replace(" ", "_")
            case = CASES[case_name]
            fingerprint = write(case, folder)
            versions = peers_runs.version_of(python, program.packages)
            source = peers_runs.source_of(program.script)
            key = f"{case_name} | {peer} | {variant}"
            stamp = f"{versions}; model {fingerprint}; program {source}"
            if results.get(key, {}).get("stamp") == stamp:
                continue
            command = [str(python), str(peers_runs.PROGRAMS / program.script), program.argument]
            model, _ = build(case, case.frame())
            result: dict[str, Any] = {}
            over = None
            for iterations, limit in ((length, cap), (SHORT, cap / 2)):
                notes = peers_runs.run(
                    command,
                    folder,
                    variant=variant,
                    cap=limit,
                    length=iterations,
                    longer=peers_runs.LONGER_SECONDS,
                )
                if "seconds" in notes:
                    result = peers_runs.figures(notes, folder, model)
                elif "failed" in notes:
                    result = notes
                if over is None and not notes.get("complete", False) and "failed" not in notes:
                    over = cap  # the usual run did not end; this is what a shorter one shows
                if result.get("ess") or "failed" in result:
                    break
            result |= {"stamp": stamp, "over": over}
            keep(results := load(), key, result)
            say(f"{key}: {told(result)}")


def told(result: dict[str, Any]) -> str:
    """Return a result in a few words."""
    if "failed" in result:
        return f"failed: {result['failed']}"
    if "ess" not in result or not result["ess"]:
        return f"no draws in {result['over'] / 60:.0f} min"
    return (
        f"{speed(result):,.4g} ESS/s, R-hat {worst_hat(result):.3f}, "
        f"whole {result['seconds']['whole'][0]:.1f} s CPU"
    )


def least(result: dict[str, Any]) -> tuple[float, str]:
    """Return the smallest bulk ESS, and the quantity that has it."""
    ess, name = min(result["ess"].values())
    return ess, name


def worst_hat(result: dict[str, Any]) -> float:
    """Return the largest R-hat."""
    return max(result["r_hat"].values())


def converged(result: dict[str, Any]) -> bool:
    """Whether all chains of a complete run agree."""
    return bool(result.get("ess")) and not result["over"] and worst_hat(result) < CONVERGED


def speed(result: dict[str, Any], clock: int = 0) -> float:
    """Return effective draws a second of sampling: CPU, or wall-clock for clock = 1."""
    seconds = result["seconds"]
    phase = "longer, sampling" if "longer, sampling" in seconds else "run, sampling"
    return least(result)[0] / seconds[phase][clock]


def sample_ours(cases: list[str], sampler: str, say: Any) -> None:
    """Run this package on the cases."""
    with tempfile.TemporaryDirectory() as name:
        for case_name in cases:
            folder = Path(name) / case_name.replace(" ", "_")
            case = CASES[case_name]
            write(case, folder)
            command = [sys.executable, str(peers_runs.PROGRAMS / "run_ours.py")]
            for again in (False, True):  # the first process may have to compile
                notes = peers_runs.run(
                    command,
                    folder,
                    variant=sampler,
                    cap=600.0,
                    length=DRAWS if again else COMPILING,
                    longer=peers_runs.LONGER_SECONDS if again else 0.0,
                )
            key = f"{case_name} | {OURS} | {sampler}"
            prefix = key.removesuffix(sampler)
            if "seconds" in notes:
                notes = peers_runs.figures(notes, folder, build(case, case.frame())[0])
            others = {k: v for k, v in load().items() if not k.startswith(prefix)}
            keep(others, key, notes | {"over": None})
            say(f"{key}: {told(notes | {'over': 600.0})}")


def best(results: dict[str, Any], case: str, peer: str) -> dict[str, Any] | None:
    """Return the better variant of a peer on a case, with its name: converged ones first."""
    found = [
        result | {"variant": key.rsplit(" | ", 1)[1]}
        for key, result in results.items()
        if key.startswith(f"{case} | {peer} | ")
    ]
    usable = [result for result in found if result.get("ess")]
    if usable:
        return max(usable, key=lambda r: (converged(r), speed(r)))
    return found[0] if found else None


def agreement(a: dict[str, Any], b: dict[str, Any]) -> str:
    """Return the largest |z| between the means of two runs: that they are of one posterior."""
    z = [
        abs(mean - b["moments"][row][0]) / math.hypot(error, b["moments"][row][2])
        for row, (mean, _, error) in a["moments"].items()
        if row in b["moments"]
    ]
    return f"{max(z):.1f}" if z else "-"


def seconds_of(seconds: dict[str, Any], phase: str) -> str:
    """Return CPU seconds, and wall-clock seconds in brackets."""
    return f"{seconds[phase][0]:.3g} ({seconds[phase][1]:.3g})"


def line(peer: str, result: dict[str, Any], own: dict[str, Any] | None) -> list[str]:
    """Return a row of the large table."""
    how = result.get("sampler") or result.get("variant", "")
    if not result.get("ess"):
        words = "failed" if "failed" in result else f"over {result['over'] / 60:.0f} min"
        return [peer, how, words, *["-"] * 8]
    ess, name = least(result)
    note = f"{worst_hat(result):.3f}"
    if result["over"]:
        note += f", over {result['over'] / 60:.0f} min"
    compared = peer != OURS and own is not None and bool(own.get("ess"))
    usable = compared and speed(result) > 0.0
    return [
        peer,
        how,
        note,
        f"{ess:,.0f}",
        name,
        seconds_of(result["seconds"], "run, sampling"),
        seconds_of(result["seconds"], "run"),
        "-" if result["over"] else seconds_of(result["seconds"], "whole"),
        f"{speed(result):,.4g} ({speed(result, 1):,.4g})",
        f"{speed(own) / speed(result):.3g}" if own is not None and usable else "-",
        agreement(result, own) if own is not None and compared else "-",
    ]


def verdict(case: str, results: dict[str, Any]) -> list[str]:
    """Return a row of the table of goals."""
    own = best(results, case, OURS)
    others = {peer: best(results, case, peer) for peer in PEERS}
    known = {peer: result for peer, result in others.items() if result is not None}
    ended = {
        peer: result
        for peer, result in known.items()
        if result.get("ess") and least(result)[0] > 0.0
    }
    good = {peer: result for peer, result in ended.items() if converged(result)}
    goal, hard = CASES[case].goal, CASES[case].hard
    best_peer, its_speed, ratio, reached = "none ended", "-", "-", "-"
    if ended:
        peer = max(good or ended, key=lambda name: speed((good or ended)[name]))
        best_peer = peer if good else f"{peer}, R-hat {worst_hat(ended[peer]):.2f}"
        its_speed = f"{speed(ended[peer]):,.4g}"
    if own is None or not own.get("ess"):
        return [case, "-", "-", best_peer, its_speed, "-", "-", "not run", "-", ""]
    if ended:
        cpu, wall = (speed(own, clock) / speed(ended[peer], clock) for clock in (0, 1))
        ratio = f"{cpu:.3g} ({wall:.3g})"
        if goal is not None:
            reached = "reached" if cpu >= goal else "MISSED"
    if hard:
        reached = "reached"
    if not converged(own):
        reached = "MISSED: ours has not converged"
    wholes = [r["seconds"]["whole"][0] for r in ended.values() if not r["over"]]
    whole = ["-", ""]
    if wholes:
        factor = min(wholes) / own["seconds"]["whole"][0]
        whole = [f"{factor:.3g}", "reached" if factor >= WHOLE_GOAL else "MISSED"]
    return [
        case,
        own.get("sampler", "-"),
        f"{speed(own):,.4g}",
        best_peer,
        its_speed,
        ratio,
        "converge" if hard else "-" if goal is None else f"{goal:g}",
        reached,
        *whole,
    ]


def tables(report: Report) -> None:
    """Print all that is known."""
    results = load()
    report(
        "Ours over the best converged peer (over the quickest, with its R-hat, where none has "
        "converged):\nESS a CPU second of sampling, in brackets by wall-clock seconds; whole: CPU "
        f"seconds of the quickest\npeer's fresh process over ours, goal {WHOLE_GOAL:g}"
    )
    columns: tuple[str, ...] = (
        "model",
        "sampler",
        "ours",
        "best peer",
        "its",
        "ratio",
        "goal",
        "",
        "whole",
        "",
    )
    report.table(columns, [verdict(case, results) for case in CASES])
    report(
        "Every run, ours first: R-hat; smallest bulk ESS and the quantity that has it; seconds, "
        "CPU (wall-clock), of\n1000 draws of each of 4 chains, of these with the warm-up, and of a "
        "whole fresh process; ESS a second; ours over\nit; largest |z| of a mean against ours. "
        f"Converged: R-hat below {CONVERGED:g}"
    )
    columns = ("by", "how", "R-hat", "ESS", "of", "sampling", "and warm-up", "whole process")
    columns += ("ESS/s", "ratio", "|z|")
    for case, spec in CASES.items():
        own = best(results, case, OURS)
        found = ((peer, best(results, case, peer)) for peer in (OURS, *PEERS))
        rows = [line(peer, result, own) for peer, result in found if result is not None]
        if rows:
            report(f"{case}: {spec.family}, {spec.formula}")
            report.table(columns, rows)
    report("Recorded elsewhere: other machines, priors and minima (an indication, no race)")
    with (DATA / "recorded.csv").open(newline="", encoding="utf-8") as file:
        first, *others = list(csv.reader(file))
    report.table(first, others)
    stamps = {result["stamp"].split("; ")[0] for result in results.values() if "stamp" in result}
    report("; ".join(sorted(stamps)))


def say(text: str) -> None:
    """Print at once, beside the report."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--ours", action="store_true", help="run this package only")
    options.add_argument("--tables", action="store_true", help="run nothing, print what is known")
    options.add_argument("--peer", action="append", choices=list(PEERS), help="run these only")
    options.add_argument("--model", action="append", choices=list(CASES), help="run these only")
    options.add_argument(
        "--first", action="store_true", help="the likelier parametrization of each peer only"
    )
    options.add_argument("--sampler", default="auto", help="of this package")
    options.add_argument(
        "--cap", type=float, default=CAP_MINUTES, help="CPU minutes of a peer's sampling"
    )
    options.add_argument(
        "--length", type=int, default=DRAWS, help="iterations of a peer's warm-up, and draws"
    )
    options.add_argument(
        "--folder",
        type=Path,
        default=Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "bayesglmm-peers",
        help="where the peers are installed",
    )
    arguments = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without ending the peer's process
    cases = arguments.model or list(CASES)
    if not (arguments.ours or arguments.tables):
        chosen = jobs(arguments.peer or list(PEERS), cases, (False,) if arguments.first else BOTH)
        cap = 60.0 * arguments.cap
        sample_peers(chosen, arguments.folder, cap, arguments.length, say)
    if not (arguments.peer or arguments.tables):
        sample_ours(cases, arguments.sampler, say)
    report = Report("peers", not arguments.no_save)
    tables(report)
    report.save()
    return 0


if __name__ == "__main__":
    sys.exit(main())
