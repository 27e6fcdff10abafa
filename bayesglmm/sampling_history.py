"""What became of a run's plan: changes made in warm-up, the history of a classical run's blocks."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .chains import Standing
from .classical_program import ITERATIONS as DONE
from .classical_program import LOOPS, RATE, SCALE, ClassicalProgram
from .conditionals.classical_state import ACCEPTED, PROPOSED

PROPOSING = ("random_walk", "iwls", "near_conjugate")  # the others have nothing to reject
PHASES = ("Tuning", "Burn-in", "Sampling")


def of(program: Any, standings: Iterable[Standing]) -> dict[str, Any] | None:
    """Return blocks and history as lists of numbers and text, None for other samplers.

    Parameters
    ----------
    program : Program
    standings : iterable of Standing
        Where the chains stand.
    """
    program = getattr(program, "program", program)
    if not isinstance(program, ClassicalProgram):
        return None
    blocks = [
        {"block": b.label, "method": b.method, "parameters": list(b.parameters)}
        for b in program.blocks
    ]
    history: list[list[Any]] = []
    for standing in standings:
        for phase, loop, rows in _phases(program, standing):
            history += [
                [standing.number + 1, phase, loop, b, int(row[DONE]), float(row[SCALE]), rate]
                for b, row in enumerate(rows)
                if (rate := float(row[RATE])) >= 0.0 and row[DONE] > 0
            ]
    return {"blocks": blocks, "history": history, "nbi": program.warmup - program.tuning}


def changes(program: Any, standings: Iterable[Standing]) -> list[str]:
    """Return what warm-up changed in how chains move, a sentence each with the chains it is of."""
    program = getattr(program, "program", program)
    if not hasattr(program, "changes"):
        return []
    chains: dict[str, list[int]] = {}
    for standing in standings:
        for text in dict.fromkeys(program.changes(standing.state)):
            chains.setdefault(text, []).append(standing.number + 1)
    return [
        f"chain{'s' * (len(own) > 1)} {', '.join(map(str, own))}: {text}"
        for text, own in chains.items()
    ]


def _phases(program: ClassicalProgram, standing: Standing) -> Iterable[tuple[str, int, np.ndarray]]:
    state = standing.state
    loops, noted = int(state["progress"][LOOPS]), state["history"]
    for loop in range(loops):
        yield PHASES[0], loop + 1, noted[loop]
    yield PHASES[1], 1, noted[program.loops]
    if standing.iteration > program.warmup:
        tuning = program.tuning_of(state)
        proposed = tuning.tally[:, PROPOSED]
        now = np.zeros((len(program.blocks), 3))
        now[:, DONE], now[:, SCALE] = proposed, program.scales(tuning)
        now[:, RATE] = tuning.tally[:, ACCEPTED] / np.maximum(proposed, 1.0)
        yield PHASES[2], 1, now


def history_records(held: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the history of blocks that propose, a dict a row."""
    records = []
    for chain, phase, loop, b, iterations, scale, rate in held["history"]:
        block = held["blocks"][b]
        if block["method"] in PROPOSING:
            walks = block["method"] == "random_walk"
            records.append(
                {
                    "chain": chain,
                    "phase": phase,
                    "loop": loop,
                    "block": block["block"],
                    "method": block["method"],
                    "iterations": iterations,
                    "scale": scale if walks else np.nan,
                    "acceptance": rate,
                }
            )
    return records


def block_records(held: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the blocks in the order of a sweep, with the mean acceptance in sampling."""
    rates: dict[int, list[float]] = {}
    for _, phase, _, b, _, _, rate in held["history"]:
        if phase == PHASES[2]:
            rates.setdefault(b, []).append(rate)
    return [
        {
            "block": block["block"],
            "parameters": ", ".join(block["parameters"]),
            "method": block["method"],
            "acceptance": float(np.mean(rates[b]))
            if b in rates and block["method"] in PROPOSING
            else np.nan,
        }
        for b, block in enumerate(held["blocks"])
    ]


def lines(held: dict[str, Any]) -> list[str]:
    """Return what the printed posterior says of the blocks and their tuning."""
    parts = []
    for record in block_records(held):
        rate = record["acceptance"]
        shown = "" if np.isnan(rate) else f" ({rate:.2f})"
        parts.append(f"{record['block']} {record['method']}{shown}")
    out = ["blocks (acceptance): " + "; ".join(parts)]
    loops: dict[int, int] = {}
    size = 0
    for chain, phase, loop, _, iterations, _, _ in held["history"]:
        if phase == PHASES[0]:
            loops[chain], size = max(loop, loops.get(chain, 0)), iterations
    if loops:
        few, many = min(loops.values()), max(loops.values())
        spread = f"{few}" if few == many else f"{few} to {many}"
        out.append(f"tuning: {spread} loops of {size} iterations in each chain")
    return out
