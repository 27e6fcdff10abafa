"""Peak memory of a model of 1,000,000 groups and 5,000,000 rows, 4 chains.

Each case is a process of its own: it makes binary data, builds the model, drops the data, samples a
few draws (what is allocated does not depend on how many), and asks for the verdict, which covers
all effects. The figure is the largest resident size of the process (ru_maxrss), Python and
libraries included. Beside it is the size of the process with its model before sampling began, what
sampling took beyond that, and what was announced that it would take.

How much of the disk a stream takes is measured with fewer groups and more draws: the texts of a
million levels weigh more than a few draws, and nothing beside a thousand.

Run as ``python -m diagnostics.memory``; about 15 minutes, most of them NUTS. Ends with code 1 if a
goal is missed.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .report import Report, parser

GROUPS, ROWS_EACH, CHAINS = 1_000_000, 5, 4
GIB = 2**30
# sampler, keep: goal in GiB, iterations of warm-up, draws.
CASES = {
    ("gibbs", "summary"): (1.5, 2, 10),
    ("nuts", "summary"): (2.5, 1, 2),
    ("gibbs", "stream"): (3.0, 2, 4),
}
SHARE_GROUPS, SHARE_DRAWS = 20_000, 100
FILE_SHARE = 1.02  # of draws x 8 bytes that a streamed file may take


def child(sampler: str, keep: str, groups: int, warmup: int, draws: int, folder: str) -> None:
    """Run one case in this process and print its figures as JSON."""
    import numpy as np

    import bayesglmm as bg
    from bayesglmm import footprint
    from bayesglmm.chains.threads import threads

    rng = np.random.default_rng(1)
    n = groups * ROWS_EACH
    g = rng.permutation(np.repeat(np.arange(groups, dtype=np.int32), ROWS_EACH))
    x = rng.normal(size=n)
    eta = 0.7 * rng.normal(size=groups)[g]
    eta += 0.5 * x + 0.3
    y = (rng.logistic(size=n) < eta).astype(np.int8)
    del eta
    model = bg.glmm("y ~ x + (1 | g)", {"y": y, "x": x, "g": g}, family="bernoulli")
    del y, x, g
    before = now()
    estimate = footprint.size(
        model, sampler, keep, chains=CHAINS, draws=draws, threads=threads(None, CHAINS)
    )
    stream = {"stream": Path(folder, "u.nc")} if keep == "stream" else {}
    begun = time.perf_counter()
    post = model.sample(
        sampler=sampler, keep=keep, seed=1, chains=CHAINS, warmup=warmup, draws=draws,
        progress=False, **stream,
    )  # fmt: skip
    seconds = time.perf_counter() - begun
    assert post.verdict.checks
    size = stream["stream"].stat().st_size if stream else 0
    print(json.dumps([before, peak(), estimate / GIB, seconds, size]))


def now() -> float:
    """Resident size of this process, GiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / GIB


def peak() -> float:
    """Largest resident size of this process so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def run(sampler: str, keep: str, groups: int, warmup: int, draws: int) -> list[float] | str:
    """Return what a child prints, or what it says when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        counts = [str(k) for k in (groups, warmup, draws)]
        command = ["-m", "diagnostics.memory", "--child", sampler, keep, *counts, folder]
        done = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, env=os.environ
        )
    return done.stderr if done.returncode else [float(x) for x in json.loads(done.stdout)]


def main() -> int:
    """Run all cases and print the table."""
    options = parser(__doc__)
    options.add_argument("--groups", type=int, default=GROUPS)
    options.add_argument("--child", nargs=6, help="one case in this process")
    arguments = options.parse_args()
    if arguments.child:
        sampler, keep, *numbers, folder = arguments.child
        groups, warmup, draws = map(int, numbers)
        child(sampler, keep, groups, warmup, draws, folder)
        return 0
    report = Report("memory", not arguments.no_save)
    groups = arguments.groups
    report(f"{groups:,} groups of {ROWS_EACH} rows, {CHAINS} chains, bernoulli, y ~ x + (1 | g)\n")
    good, rows = True, []
    for (sampler, keep), (goal, warmup, draws) in CASES.items():
        found = run(sampler, keep, groups, warmup, draws)
        if isinstance(found, str):
            report(f"{sampler}, keep={keep!r} failed:\n{found}")
            good = False
            continue
        before, whole, estimate, seconds, _ = found
        good &= whole < goal
        print(f"{sampler}, keep={keep!r}: {whole:.2f} GiB, {seconds:.0f} s", flush=True)
        rows.append(
            (
                f"{sampler}, keep={keep!r}",
                f"{goal:.1f}",
                f"{whole:.2f}",
                f"{before:.2f}",
                f"{whole - before:.2f}",
                f"{estimate:.2f}",
                f"{1e3 * seconds / (CHAINS * (warmup + draws)):,.0f}",
                "reached" if whole < goal else "MISSED",
            )
        )
    report("Largest resident size, GiB")
    header = ("case", "goal", "peak", "model alone", "beyond it", "announced", "ms an iteration")
    report.table((*header, ""), rows)
    found = run("gibbs", "stream", min(groups, SHARE_GROUPS), 4, SHARE_DRAWS)
    size = found[-1] if not isinstance(found, str) else float("nan")
    share = size / (8 * CHAINS * SHARE_DRAWS * min(groups, SHARE_GROUPS))
    good &= share < FILE_SHARE
    report(f"\nthe file of {SHARE_DRAWS} draws is {share:.4f} of them x 8 bytes")
    report.save()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
