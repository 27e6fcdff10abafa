"""Posterior simulation-based calibration on two data sets: calibration where it matters.

Simulation-based calibration averages over the prior; this one (Säilynoja, Schmitt, Bürkner and
Vehtari 2025) stays where real data put the posterior. Parameters and effects are drawn from the
posterior of the data, new responses of the same rows and groups are simulated from them, and they
are ranked among draws of the posterior of old and new data together: uniform if that is right. Each
sampler is held against draws of the first posterior by `nuts`. The red rule is that of `sbc`.

Run as ``python -m diagnostics.posterior_sbc [--replicates N] [--runs FILE]``.
"""

import sys
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit

import bayesglmm as bg
from bayesglmm.model import Model

from . import sbc_runs
from .report import Report, parser
from .sbc import ALPHA, TIMES, replicates_of
from .sbc_cells import Values
from .sbc_ranks import p_value
from .sbc_runs import Key, Line, Named

RUNS = Path(tempfile.gettempdir()) / "bayesglmm-posterior-sbc.jsonl"
REPLICATES = 200
BATCH = 20
BASE_DRAWS = 2_000  # of each of 4 chains of the first posterior, of which one is taken each time
BASE_SEED = 41


class Study(NamedTuple):
    """A data set with its model."""

    name: str
    formula: str
    family: str
    response: str
    priors: dict[str, Any]
    samplers: tuple[str, ...]
    simulate: Callable[[np.random.Generator, np.ndarray, float, Any], np.ndarray]
    loglik: Callable[[np.ndarray, np.ndarray, np.ndarray, Any], np.ndarray]
    new: tuple[float, ...]  # row of X of the prediction


STUDIES = (
    Study(
        "cbpp",
        "incidence | trials(size) ~ period + (1 | herd)",
        "binomial",
        "incidence",
        {"Intercept": bg.Normal(0, 2.5), "b": bg.Normal(0, 2.5), "sd": bg.HalfStudentT(3, 2.5)},
        ("gibbs", "nuts"),
        lambda rng, eta, phi, trials: rng.binomial(trials.astype(int), expit(eta)).astype(float),
        lambda y, eta, phi, trials: y * eta - trials * np.logaddexp(0.0, eta),
        (1.0, 1.0, 0.0, 0.0),
    ),
    Study(
        "sleepstudy",
        "Reaction ~ Days + (Days | Subject)",
        "gaussian",
        "Reaction",
        {
            "Intercept": bg.Normal(300, 100),
            "b": bg.Normal(0, 30),
            "sd": bg.HalfStudentT(3, 50),
            "cor": bg.LKJ(2),
            "sigma": bg.HalfStudentT(3, 50),
        },
        ("gibbs", "collapsed", "nuts"),
        lambda rng, eta, phi, trials: rng.normal(eta, phi),
        lambda y, eta, phi, trials: -np.log(phi) - 0.5 * ((y - eta) / phi) ** 2,
        (1.0, 12.0),
    ),
)
BY_NAME = {study.name: study for study in STUDIES}


def quantities(study: Study, model: Model, values: Values, y: np.ndarray) -> Named:
    """Test quantities of n draws: as in `sbc_cells`, the log likelihood that of all the rows."""
    design = model.design
    (term,), names = design.terms, model.names
    (u,) = values["u"].values()
    out = {name: values["beta"][:, k] for k, name in enumerate(names.fixed)}
    out |= {name: values["sd"][:, k] for k, name in enumerate(names.sd)}
    out |= {name: values["cor"][:, k] for k, name in enumerate(names.cor)}
    last = u.shape[1] - 1
    out |= {f"u {level}": u[:, level, -1] for level in (0, last // 2, last)}
    phi = np.ones((len(u), 1))
    for name in names.dispersion:
        phi = values[name][:, None]
        out[name] = values[name]
    eta = predictor(model, values)
    out["log likelihood"] = study.loglik(y, eta, phi, design.response.trials).sum(axis=1)
    squared = (values["sd"] ** 2).prod(axis=1)
    out["det Sigma"] = squared * (1.0 - (values["cor"] ** 2).sum(axis=1))
    new = np.array(study.new)
    out["prediction"] = values["beta"] @ new + u[:, 0] @ new[: len(term.names)]
    return out


def predictor(model: Model, values: Values) -> np.ndarray:
    """Eta (n, rows) of n draws."""
    design = model.design
    (term,), (factor,) = design.terms, design.factors
    (u,) = values["u"].values()
    eta: np.ndarray = values["beta"] @ design.X.T
    return eta + np.einsum("nik,ik->ni", u[:, factor.index], term.z)


@cache
def base(name: str) -> tuple[Values, Model, Model]:
    """Draws of the posterior of the data; the model, and that of the data twice."""
    study = BY_NAME[name]
    data = bg.load_dataset(name)
    one = bg.glmm(study.formula, data, study.family, priors=study.priors)
    twice = pd.concat([data, data], ignore_index=True)
    two = bg.glmm(study.formula, twice, study.family, priors=study.priors)
    post = one.sample(sampler="nuts", draws=BASE_DRAWS, seed=BASE_SEED, jobs=1, progress=False)
    flat = {
        key: {g: _flat(own) for g, own in values.items()} if key == "u" else _flat(values)
        for key, values in post.values.items()
    }
    return flat, one, two


def _flat(values: np.ndarray) -> np.ndarray:
    """Draws of all chains, in one row."""
    return values.reshape(values.shape[0] * values.shape[1], *values.shape[2:])


def replicate(key: Key) -> Line:
    """Rank one draw of the posterior among those given its new data too."""
    study = BY_NAME[key.cell]
    draws, one, two = base(study.name)
    rng = np.random.default_rng([*key.seed, zlib.crc32(b"posterior")])
    at = [int(rng.integers(len(draws["beta"])))]
    truth = {
        name: {g: own[at] for g, own in values.items()} if name == "u" else values[at]
        for name, values in draws.items()
    }
    phi = next((float(truth[name][0]) for name in one.names.dispersion), 1.0)
    response = one.design.response
    new = study.simulate(rng, predictor(one, truth)[0], phi, response.trials)
    y = np.concatenate([response.y, new])
    model = sbc_runs.with_response(two, y)
    seed = int(rng.integers(2**31))
    return sbc_runs.line_of(
        key,
        lambda: sbc_runs.thinned(
            model, key.sampler, seed, lambda v: quantities(study, two, v, y), truth
        ),
    )


def ranks_of(runs: Path, study: Study, sampler: str, stage: int, n: int) -> np.ndarray:
    """Ranks (n, quantities), those that are not in the file run first; fails if one failed."""
    keys = [Key(study.name, sampler, stage, number) for number in range(n)]
    known = sbc_runs.read(runs)
    missing = [key for key in keys if key not in known]
    for start in range(0, len(missing), BATCH):
        sbc_runs.append(runs, replicates_of(missing[start : start + BATCH], replicate))
    lines = [sbc_runs.read(runs)[key] for key in keys]
    for line in lines:
        if line.failure:
            raise ArithmeticError(f"{line.cell}, {sampler}, number {line.number}: {line.failure}")
    return np.array([line.ranks for line in lines])


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--replicates", type=int, default=REPLICATES)
    options.add_argument("--runs", type=Path, default=RUNS)
    arguments = options.parse_args()
    report = Report("posterior_sbc", keep=not arguments.no_save)
    rows, good, n = [], True, arguments.replicates
    for study in STUDIES:
        _, _, two = base(study.name)
        names = list(quantities(study, two, _first(base(study.name)[0]), two.design.response.y))
        for sampler in study.samplers:
            ranks = ranks_of(arguments.runs, study, sampler, 1, n)
            p = {name: p_value(ranks[:, k]) for k, name in enumerate(names)}
            again: dict[str, float] = {}
            if min(p.values()) < ALPHA:
                ranks = ranks_of(arguments.runs, study, sampler, 2, TIMES * n)
                again = {
                    name: p_value(ranks[:, names.index(name)]) for name in p if p[name] < ALPHA
                }
            least = min(p, key=lambda name: p[name])
            red = [name for name, own in again.items() if own < ALPHA]
            good &= not red
            rows.append(
                (
                    study.name,
                    sampler,
                    str(n),
                    str(len(p)),
                    f"{p[least]:.4f}",
                    least,
                    ", ".join(f"{name} {own:.4f}" for name, own in again.items()) or "-",
                    ", ".join(red) or "-",
                )
            )
    head = ("data", "sampler", "replicates", "quantities", "least p", "of")
    report.table((*head, "second stage", "red twice"), rows)
    lines = sbc_runs.read(arguments.runs).values()
    report(f"capped {sum(line.capped for line in lines)} of {len(lines)}; "
           f"md5 of the ordered lines {sbc_runs.md5(lines)}")  # fmt: skip
    report("every sampler is calibrated" if good else "RED")
    report.save()
    return 0 if good else 1


def _first(draws: Values) -> Values:
    return {
        name: {g: own[:1] for g, own in values.items()} if name == "u" else values[:1]
        for name, values in draws.items()
    }


if __name__ == "__main__":
    sys.exit(main())
