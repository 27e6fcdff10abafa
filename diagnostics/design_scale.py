"""Design of 1,000,000 rows in 100,000 groups: seconds and memory against their bounds.

Run as ``python -m diagnostics.design_scale``; ends with code 1 if a bound is broken. The data are
made in this process, so the figure is what the design adds to them.
"""

import resource
import sys
import time

import numpy as np
import pandas as pd

from bayesglmm.design import build

ROWS, GROUPS = 1_000_000, 100_000
MAX_SECONDS = 10.0
MAX_MIB = 1024.0


def frame() -> pd.DataFrame:
    """Counts with two numeric predictors, a factor of 4 levels, and ids as texts and as numbers."""
    rng = np.random.default_rng(1)
    group = rng.integers(GROUPS, size=ROWS)
    return pd.DataFrame(
        {
            "y": rng.poisson(2.0, ROWS),
            "x": rng.normal(size=ROWS),
            "w": rng.normal(size=ROWS),
            "f": pd.Series(rng.choice(list("abcd"), ROWS), dtype="str"),
            "g": group,
            "id": pd.Series(np.char.mod("s%05d", group), dtype="str"),
        }
    )


def peak_mib() -> float:
    """Peak resident size of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """Build the designs and print the table."""
    data = frame()
    build("y ~ x", data[:100], "poisson")  # imports are not part of the figure
    print(f"{ROWS:,} rows, {GROUPS:,} groups; data in memory, peak {peak_mib():.0f} MiB")
    print(f"bounds: {MAX_SECONDS:.0f} s, {MAX_MIB:.0f} MiB for the whole process\n")
    good = True
    for formula in ("y ~ x + w * f + (x | g)", "y ~ x + w * f + (x | id)", "y ~ x + (x || f/id)"):
        start = time.perf_counter()
        design = build(formula, data, "poisson")
        seconds = time.perf_counter() - start
        peak = peak_mib()
        good &= seconds < MAX_SECONDS and peak < MAX_MIB
        levels = ", ".join(f"{len(factor.levels):,}" for factor in design.factors)
        print(f"{formula:26} {seconds:6.2f} s  peak {peak:5.0f} MiB  levels {levels}")
    print("\nwithin the bounds" if good else "\nBOUNDS BROKEN")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
