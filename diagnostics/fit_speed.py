"""How long fits take beside lme4 and statsmodels: ratios of CPU seconds in one run.

Ours twice: `fit` is `model.fit(...)` of a built model with its estimates and standard errors;
`all` is `bg.glmm(...)` too, with reading the formula and the data, as in a call of lme4's or
statsmodels'. Everything compiled before; the median of several fits, of one where it takes long.
The log likelihood of the others is shown less ours: a fast fit has to be as good.

lme4 runs by `Rscript` (on Debian `apt-get install r-cran-lme4`), statsmodels' MixedLM by any Python
that has it (`--statsmodels /path/to/python`; Gaussian with one factor only). What is not installed
is left out and said.

Run as ``python -m diagnostics.fit_speed``; code 1 if a goal is missed.
"""

import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from ml_cases import CASES, Case

import bayesglmm as bg

from .report import Report, parser

GROUPS, ROWS = 10_000, 10
SEED = 8
LEAST, ENOUGH = 3, 1.0  # repetitions; seconds after which no more are needed
LONG = 5.0  # seconds after which once is enough

LME4 = f"""
suppressMessages(library(lme4))
given <- commandArgs(TRUE)
data <- read.csv(given[1], stringsAsFactors = TRUE)
formula <- as.formula(given[2])
fit <- switch(given[3],
  reml = function() lmer(formula, data),
  ml = function() lmer(formula, data, REML = FALSE),
  laplace = function() glmer(formula, data, family = given[4]))
seconds <- c()
while (length(seconds) < {LEAST} || sum(seconds) < {ENOUGH}) {{
  used <- system.time(model <- suppressMessages(suppressWarnings(fit())))
  seconds <- c(seconds, used[["user.self"]] + used[["sys.self"]])
  if (sum(seconds) > {LONG}) break
}}
cat(sprintf('{{"seconds": %.6g, "loglik": %.8f}}', median(seconds), logLik(model)))
"""

MIXEDLM = f"""
import json, sys, time, warnings
from statistics import median
import pandas as pd
import statsmodels.formula.api as smf
warnings.simplefilter("ignore")
path, fixed, effects, group, method = sys.argv[1:]
data = pd.read_csv(path)
seconds = []
while len(seconds) < {LEAST} or sum(seconds) < {ENOUGH}:
    begun = time.process_time()
    model = smf.mixedlm(fixed, data, groups=group, re_formula=effects)
    fit = model.fit(reml=method == "reml")
    fit.bse
    seconds.append(time.process_time() - begun)
    if sum(seconds) > {LONG}:
        break
print(json.dumps({{"seconds": median(seconds), "loglik": float(fit.llf)}}))
"""


@dataclass(frozen=True)
class Race:
    """A model, how it is fitted, and by how much ours should be faster than lme4.

    `mixedlm` is what statsmodels takes: the fixed part, the effects' part and the group.
    """

    name: str
    case: Case
    method: str
    goal: float
    mixedlm: tuple[str, str, str] | None = None


def many(family: str) -> pd.DataFrame:
    """10,000 groups of 10 rows with a random intercept."""
    rng = np.random.default_rng(SEED)
    g = np.repeat(np.arange(GROUPS), ROWS)
    x = rng.normal(size=g.size)
    eta = -0.5 + 0.5 * x + 0.8 * rng.normal(size=GROUPS)[g]
    noise = rng.normal(size=g.size)
    y = eta + noise if family == "gaussian" else (rng.logistic(size=g.size) < eta) * 1
    return pd.DataFrame({"y": y, "x": x, "g": g})


RACES = (
    Race("epil, intercept", CASES["epil__ri"], "laplace", 50.0),
    Race("epilepsy, slope", CASES["epilepsy_hsaur3__sas_un"], "laplace", 50.0),
    Race("cbpp", CASES["cbpp__period"], "laplace", 50.0),
    Race(
        "sleepstudy",
        CASES["sleepstudy__slope"],
        "reml",
        50.0,
        ("Reaction ~ Days", "~ Days", "Subject"),
    ),
    Race("verbagg", CASES["verbagg__crossed"], "laplace", 40.0),
    Race("insteval, Gaussian", CASES["insteval__lmm_null"], "reml", 5.0),
    Race("insteval, binary", CASES["insteval__bin_null"], "laplace", 5.0),
    Race(
        "10,000 x 10, Gaussian",
        Case(lambda: many("gaussian"), "y ~ x + (1 | g)", "gaussian"),
        "reml",
        5.0,
        ("y ~ x", "~ 1", "g"),
    ),
    Race(
        "10,000 x 10, binary",
        Case(lambda: many("bernoulli"), "y ~ x + (1 | g)", "bernoulli"),
        "laplace",
        5.0,
    ),
)


def seconds(work: Callable[[], Any]) -> float:
    """Median CPU seconds of a piece of work, after once to compile it."""
    work()
    found: list[float] = []
    while len(found) < LEAST or sum(found) < ENOUGH:
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
        if sum(found) > LONG:
            break
    return median(found)


def written(frame: pd.DataFrame, folder: str) -> str:
    """A CSV in which factors are text that R reads as such."""
    path = Path(folder) / "data.csv"
    factors = frame.select_dtypes("category").columns
    text = {name: "l" + frame[name].astype(str) for name in factors}
    frame.assign(**text).to_csv(path, index=False)
    return str(path)


def theirs(command: list[str]) -> dict[str, float] | None:
    """Seconds and log likelihood of another program; None if it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr.strip().splitlines()[-1:], file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def run(race: Race, r: str | None, python: str | None) -> dict[str, Any]:
    """Times of one model by every program there is."""
    frame = race.case.frame()
    formula, family = race.case.formula, race.case.family
    model = bg.glmm(formula, frame, family)

    def fit(model: Any) -> Any:
        done = model.fit(race.method)
        return done.estimate, done.se, done

    found: dict[str, Any] = {
        "fit": seconds(lambda: fit(model)),
        "all": seconds(lambda: fit(bg.glmm(formula, frame, family))),
        "loglik": model.fit(race.method).loglik,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = written(frame, folder)
        if r:
            script = Path(folder) / "lme4.R"
            script.write_text(LME4)
            name = {"bernoulli": "binomial"}.get(family, family)
            found["lme4"] = theirs([r, str(script), path, formula, race.method, name])
        if python and race.mixedlm:
            found["mixedlm"] = theirs([python, "-c", MIXEDLM, path, *race.mixedlm, race.method])
    return found


def main() -> int:
    """Run all races."""
    options = parser(__doc__)
    options.add_argument("--only", default="", help="models whose name contains this")
    options.add_argument("--statsmodels", help="a Python that has statsmodels")
    arguments = options.parse_args()
    report = Report("fit_speed", not arguments.no_save and not arguments.only)
    r = shutil.which("Rscript")
    python = arguments.statsmodels or (sys.executable if find_spec("statsmodels") else None)
    for name, there in (("lme4", r), ("statsmodels", python)):
        if not there:
            report(f"{name} is not installed: left out")
    rows, missed = [], []
    for race in RACES:
        if arguments.only not in race.name:
            continue
        found = run(race, r, python)
        rows.append(_row(race, found, missed))
        print(f"{race.name} done", file=sys.stderr)
    report.table(
        ("model", "by", "fit ms", "all ms", "lme4 ms", "lme4/fit", "goal", "lme4/all",
         "lme4's loglik", "MixedLM ms", "MixedLM/fit", "its loglik"),
        rows,
    )  # fmt: skip
    report("missed: " + ", ".join(missed) if missed else "every goal reached")
    report.save()
    return 1 if missed else 0


def _row(race: Race, found: dict[str, Any], missed: list[str]) -> tuple[str, ...]:
    lme4, mixed = (found.get(name) for name in ("lme4", "mixedlm"))
    ratio = lme4["seconds"] / found["fit"] if lme4 else math.nan
    if ratio < race.goal:
        missed.append(race.name)
    cells = [f"{1e3 * found[key]:.3g}" for key in ("fit", "all")]
    if lme4:
        cells += [f"{1e3 * lme4['seconds']:.4g}", f"{ratio:.0f}", f"{race.goal:.0f}"]
        cells += [
            f"{lme4['seconds'] / found['all']:.1f}",
            f"{lme4['loglik'] - found['loglik']:+.1e}",
        ]
    else:
        cells += ["-", "-", f"{race.goal:.0f}", "-", "-"]
    if mixed:
        cells += [f"{1e3 * mixed['seconds']:.4g}", f"{mixed['seconds'] / found['fit']:.0f}"]
        cells += [f"{mixed['loglik'] - found['loglik']:+.1e}"]
    else:
        cells += ["-"] * 3
    return race.name, race.method, *cells


if __name__ == "__main__":
    sys.exit(main())
