"""The same seed, the same draws: bit for bit, every sampler, wherever and however chains run (R18).

The ways are those of ``tests/test_reproducibility.py``, and beside them processes and a local
cluster of Dask. A hash of the draws of each sampler is printed: on processors of one family with
the same numba and numpy it is the same; others round differently, and agree in distribution only.

Run as ``python -m diagnostics.reproducibility``; about 4 minutes. Ends with code 1 if one differs.
"""

import platform
import sys
import tempfile
from pathlib import Path

import test_executors
import test_reproducibility as ways

from .report import Report, parser


def main() -> int:
    """Print the table of ways and samplers."""
    options = parser(__doc__)
    arguments = options.parse_args()
    report = Report("reproducibility", not arguments.no_save)
    rows, good = [], True

    def row(way: str, same: dict[str, bool]) -> None:
        nonlocal good
        good &= all(same.values())
        rows.append((way, *("same" if same[name] else "OTHER" for name in ways.SAMPLERS)))
        print(*rows[-1], flush=True)

    for way, run in ways.WAYS.items():
        same = {}
        for name in ways.SAMPLERS:
            with tempfile.TemporaryDirectory() as folder:
                same[name] = ways.digest(run(name, Path(folder))) == ways.reference(name)
        row(way, same)
    with test_executors.processes() as executor:
        found = {name: ways.digest(ways.sampled(name, executor=executor)) for name in ways.SAMPLERS}
    row("executor of processes", {name: found[name] == ways.reference(name) for name in found})
    with test_executors.cluster() as client, client.get_executor(pure=False) as executor:
        found = {name: ways.digest(ways.sampled(name, executor=executor)) for name in ways.SAMPLERS}
    row("Dask cluster", {name: found[name] == ways.reference(name) for name in found})
    same = {}
    for name in ways.SAMPLERS:
        few, many = (ways.draws(ways.sampled(name, chains=chains)) for chains in (2, 8))
        same[name] = all((a == b[:2]).all() for a, b in zip(few, many, strict=True))
    row("chains 1, 2 of 2 and of 8", same)
    report()
    report.table(("", *ways.SAMPLERS), rows)
    report(f"SHA-256 of the draws on {platform.machine()} ({_processor()}):")
    for name in ways.SAMPLERS:
        report(f"  {name:14} {ways.reference(name)[:32]}")
    report(f"\n{'all the same' if good else 'SOME DIFFER'}")
    report.save()
    return 0 if good else 1


def _processor() -> str:
    """Name of the processor, where the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "?")


if __name__ == "__main__":
    sys.exit(main())
