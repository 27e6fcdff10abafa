"""Peak memory of a model of 1,000,000 groups and 5,000,000 rows, 4 chains.

Each case is a process of its own: it makes binary data, builds the model, drops the data, samples a
few draws (what is allocated does not depend on how many), and asks for the verdict, which covers
all effects. The figure is the largest resident size of the process (ru_maxrss), Python and
libraries included; the largest size before sampling began is beside it.

Run as ``python -m diagnostics.memory``; about six minutes. Ends with code 1 if a goal is missed.
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
    ("gibbs", "summary"): (1.5, 6, 10),
    ("nuts", "summary"): (2.5, 2, 4),
    ("gibbs", "stream"): (3.0, 2, 4),
}
FILE_SHARE = 1.02  # of draws x 8 bytes that a streamed file may take


def child(sampler: str, keep: str, groups: int, warmup: int, draws: int, folder: str) -> None:
    """Run one case in this process and print its figures as JSON."""
    import numpy as np

    import bayesglmm as bg

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
    before = peak()
    stream = {"stream": Path(folder, "u.nc")} if keep == "stream" else {}
    begun = time.perf_counter()
    post = model.sample(
        sampler=sampler, keep=keep, seed=1, chains=CHAINS, warmup=warmup, draws=draws,
        progress=False, **stream,
    )  # fmt: skip
    seconds = time.perf_counter() - begun
    sampled = peak()
    checks = len(post.verdict.checks)
    size = stream["stream"].stat().st_size if stream else 0
    print(json.dumps([before, sampled, peak(), seconds, checks, size]))


def peak() -> float:
    """Largest resident size of this process so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> int:
    """Run all cases and print the table."""
    options = parser(__doc__)
    options.add_argument("--groups", type=int, default=GROUPS)
    options.add_argument("--child", nargs=6, help="one case in this process")
    arguments = options.parse_args()
    if arguments.child:
        sampler, keep, *numbers, folder = arguments.child
        child(sampler, keep, *map(int, numbers), folder)
        return 0
    report = Report("memory", not arguments.no_save)
    groups = arguments.groups
    report(f"{groups:,} groups of {ROWS_EACH} rows, {CHAINS} chains, bernoulli, y ~ x + (1 | g)\n")
    good, rows, files = True, [], []
    for (sampler, keep), (goal, warmup, draws) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            counts = [str(k) for k in (groups, warmup, draws)]
            command = ["-m", "diagnostics.memory", "--child", sampler, keep, *counts, folder]
            # The children ask numba for nothing that a cache does not hold after the first time.
            done = subprocess.run(
                [sys.executable, *command], capture_output=True, text=True, env=os.environ
            )
        if done.returncode:
            report(f"{sampler}, keep={keep!r} failed:\n{done.stderr}")
            good = False
            continue
        before, sampled, whole, seconds, _, size = json.loads(done.stdout)
        good &= whole < goal
        print(f"{sampler}, keep={keep!r}: {whole:.2f} GiB, {seconds:.0f} s", flush=True)
        rows.append(
            (
                f"{sampler}, keep={keep!r}",
                f"{goal:.1f}",
                f"{whole:.2f}",
                f"{before:.2f}",
                f"{sampled:.2f}",
                f"{1e3 * seconds / (CHAINS * (warmup + draws)):,.0f}",
                "reached" if whole < goal else "MISSED",
            )
        )
        if size:
            share = size / (8 * CHAINS * draws * groups)
            good &= share < FILE_SHARE
            files.append(f"the file of {size / GIB:.2f} GiB is {share:.4f} of its draws x 8 bytes")
    report("Largest resident size, GiB")
    report.table(
        ("case", "goal", "peak", "model alone", "after sampling", "ms an iteration", ""), rows
    )
    for line in files:
        report(line)
    report.save()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
