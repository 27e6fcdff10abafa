"""Posteriors known from elsewhere: data, model, explicit priors.

The rule of agreement is the package's own, that of `bayesglmm.crosscheck`.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

import bayesglmm as bg
from bayesglmm.choice import SAMPLERS, choose
from bayesglmm.crosscheck import MIN_ESS, Moments, disagreements, moments
from bayesglmm.model import Model

__all__ = ["MIN_ESS", "REFERENCES", "Moments", "Reference", "disagreements", "moments"]

DATA = Path(__file__).parent / "data"

# So many that all scalars and nearly all effects pass MIN_ESS.
DRAWS = {"gibbs": 20_000, "collapsed": 20_000, "nuts": 15_000, "hmc": 15_000, "classical": 60_000}
FEWER = {"simlogit": 6}  # by so much: the reference itself has 880 effective draws
MORE = {("radon_slope", "classical"): 5}  # times as many, for 4,000 effective ones


@dataclass(frozen=True)
class Reference:
    """A model with a known posterior.

    `variables` names our rows by the reference's variables; `sums` names, for variables such as
    ``alpha[3]``, the coefficient (None: there is none) and the column of effects whose sum it is;
    `derived` makes others of the draws of our rows.
    """

    name: str
    file: str
    frame: Callable[[], pd.DataFrame]
    formula: str
    family: str
    priors: Callable[[pd.DataFrame], dict]
    variables: Mapping[str, str]
    center: bool = False
    sums: Mapping[str, tuple[int | None, int]] = field(default_factory=dict)
    derived: Mapping[str, Callable[[Mapping[str, np.ndarray]], np.ndarray]] = field(
        default_factory=dict
    )

    def model(self):
        frame = self.frame()
        return bg.glmm(
            self.formula, frame, family=self.family, priors=self.priors(frame), center=self.center
        )

    def known(self) -> dict[str, Moments]:
        """Return the reference's moments by variable."""
        if self.file.startswith("posteriors/"):
            return _brms(json.loads((DATA / self.file).read_text()))
        return _posteriordb(json.loads((DATA / self.file).read_text()))

    def ours(self, post) -> dict[str, Moments]:
        """Return a posterior's moments by the reference's variables."""
        position = {name: i for i, name in enumerate(post.names)}
        out = {
            variable: moments(post.scalar_draws[..., position[row]])
            for variable, row in self.variables.items()
        }
        for variable, (coefficient, column) in self.sums.items():
            (effects,) = post.values["u"].values()
            draws = effects[..., column]
            if coefficient is not None:
                draws = draws + post.values["beta"][..., coefficient, None]
            for level in range(draws.shape[-1]):
                out[f"{variable}[{level + 1}]"] = moments(draws[..., level])
        rows = {row: post.scalar_draws[..., i] for row, i in position.items()}
        return out | {variable: moments(make(rows)) for variable, make in self.derived.items()}

    @property
    def source(self) -> str:
        """Who made the reference."""
        return "Stan, by brms" if self.file.startswith("posteriors/") else "posteriordb"


def draws_of(name: str, sampler: str) -> int:
    """Return the draws a chain that a comparison with a reference takes."""
    return DRAWS[sampler] * MORE.get((name, sampler), 1) // FEWER.get(name, 1)


def samplers_of(model: Model, against: str = "nuts") -> tuple[str, ...]:
    """Return every sampler that takes a model; the one they are held against comes first."""
    taken = []
    for sampler in SAMPLERS:
        if sampler == "auto":
            continue
        try:
            choose(model, sampler)
        except bg.DataError:
            continue
        taken.append(sampler)
    return (against, *(sampler for sampler in taken if sampler != against))


def _brms(content: dict) -> dict[str, Moments]:
    return {
        row["variable"]: Moments(
            row["mean"],
            row["sd"],
            row["sd"] / math.sqrt(row["ess_bulk"]),
            row["ess_bulk"],
            row["5%"],
            row["95%"],
        )
        for row in content["summary"]
    }


def _posteriordb(content: dict) -> dict[str, Moments]:
    return {
        name: Moments(p["mean"], p["sd"], p["mcse_mean"], p["ess_bulk"], p["q5"], p["q95"])
        for name, p in content["parameters"].items()
    }


def csv(name: str, **text: type) -> pd.DataFrame:
    """Return a table of the reference data; columns named in `text` are read as text."""
    return pd.read_csv(DATA / f"{name}.csv", dtype=text)


def columns(name: str) -> pd.DataFrame:
    """Return the vectors of a posteriordb data file as a frame."""
    content = json.loads((DATA / "posteriordb" / f"{name}.json").read_text())
    return pd.DataFrame({k: v for k, v in content.items() if isinstance(v, list)})


def brms_priors(design: Callable[[pd.DataFrame], dict], s: float, m: float, **more) -> dict:
    """Return the priors of the brms references for columns `design` of the model matrix."""
    return {
        "Intercept": bg.Normal(m, 2.5 * s),
        **{name: bg.Normal(0, 2.5 * s / float(np.std(x))) for name, x in design.items()},
        "sd": bg.HalfStudentT(3, 2.5 * s),
        **more,
    }


def epil_priors(f: pd.DataFrame) -> dict:
    treated = (f.trt == "progabide").to_numpy(float)
    design = {
        "lbase": f.lbase,
        "trt[progabide]": treated,
        "lage": f.lage,
        "V4": f.V4,
        "lbase:trt[progabide]": f.lbase * treated,
    }
    return brms_priors(design, 1.0, 0.0)


def cbpp_priors(f: pd.DataFrame) -> dict:
    design = {f"period[{k}]": (f.period == k).to_numpy(float) for k in "234"}
    return brms_priors(design, 1.0, 0.0)


def sleep_priors(f: pd.DataFrame) -> dict:
    s = float(np.std(f.Reaction))
    more = {"cor": bg.LKJ(1), "sigma": bg.HalfStudentT(3, 2.5 * s)}
    return brms_priors({"Days": f.Days}, s, float(f.Reaction.mean()), **more)


def simlogit_priors(f: pd.DataFrame) -> dict:
    return brms_priors({x: f[x] for x in ("x1", "x2", "x3", "x4")}, 1.0, 0.0, cor=bg.LKJ(1))


def numeric(intercept, b, sd=None, **more) -> Callable[[pd.DataFrame], dict]:
    """Return explicit priors that do not depend on the data."""
    priors = {"Intercept": intercept, "b": b, "sd": sd, **more}
    return lambda frame: {name: prior for name, prior in priors.items() if prior is not None}


SEEDS = dict(
    frame=lambda: columns("seeds_data").assign(plate=range(21)),
    formula="n | trials(N) ~ x1 + x2 + x1:x2 + (1|plate)",
    family="binomial",
    variables={
        "alpha0": "Intercept",
        "alpha1": "x1",
        "alpha2": "x2",
        "alpha12": "x1:x2",
        "sigma": "sd(Intercept|plate)",
    },
    sums={"b": (None, 0)},
)

REFERENCES = [
    Reference(
        "epil",
        "posteriors/epil1__brms_gold.json",
        lambda: bg.load_dataset("epil"),
        "y ~ lbase*trt + lage + V4 + (1|subject)",
        "poisson",
        epil_priors,
        {
            "b_Intercept": "Intercept",
            "b_lbase": "lbase",
            "b_trtprogabide": "trt[progabide]",
            "b_lage": "lage",
            "b_V4": "V4",
            "b_lbase:trtprogabide": "lbase:trt[progabide]",
            "sd_subject__Intercept": "sd(Intercept|subject)",
        },
        center=True,
    ),
    Reference(
        "cbpp",
        "posteriors/cbpp__brms_gold.json",
        lambda: bg.load_dataset("cbpp").astype({"period": str}),
        "incidence | trials(size) ~ period + (1|herd)",
        "binomial",
        cbpp_priors,
        {
            "b_Intercept": "Intercept",
            **{f"b_period{k}": f"period[{k}]" for k in "234"},
            "sd_herd__Intercept": "sd(Intercept|herd)",
        },
        center=True,
    ),
    Reference(
        "sleep",
        "posteriors/sleep__brms_gold.json",
        lambda: bg.load_dataset("sleepstudy"),
        "Reaction ~ Days + (1 + Days|Subject)",
        "gaussian",
        sleep_priors,
        {
            "b_Intercept": "Intercept",
            "b_Days": "Days",
            "sd_Subject__Intercept": "sd(Intercept|Subject)",
            "sd_Subject__Days": "sd(Days|Subject)",
            "cor_Subject__Intercept__Days": "cor(Intercept,Days|Subject)",
            "sigma": "sigma",
        },
        center=True,
    ),
    Reference(
        "simlogit",
        "posteriors/simlogit__brms.json",
        lambda: csv("sim_logit_500x10"),
        "y ~ x1 + x2 + x3 + x4 + (1 + x1|g)",
        "bernoulli",
        simlogit_priors,
        {
            "b_Intercept": "Intercept",
            **{f"b_x{k}": f"x{k}" for k in (1, 2, 3, 4)},
            "sd_g__Intercept": "sd(Intercept|g)",
            "sd_g__x1": "sd(x1|g)",
            "cor_g__Intercept__x1": "cor(Intercept,x1|g)",
        },
        center=True,
    ),
    Reference(
        "seeds_stanified",
        "posteriordb/seeds_data-seeds_stanified_model.summary.json",
        priors=numeric(bg.Normal(0, 1), bg.Normal(0, 1), bg.HalfCauchy(1)),
        **SEEDS,
    ),
    Reference(
        "seeds",
        "posteriordb/seeds_data-seeds_model.summary.json",
        priors=numeric(
            bg.Normal(0, 1000), bg.Normal(0, 1000), bg.GammaPrecision(shape=0.001, rate=0.001)
        ),
        **SEEDS,
    ),
    Reference(
        "surgical",
        "posteriordb/surgical_data-surgical_model.summary.json",
        lambda: columns("surgical_data").assign(hospital=range(12)),
        "r | trials(n) ~ 1 + (1|hospital)",
        "binomial",
        numeric(bg.Normal(0, 1000), None, bg.InverseGammaVariance(shape=0.001, scale=0.001)),
        {"mu": "Intercept", "sigma": "sd(Intercept|hospital)"},
        sums={"b": (0, 0)},
        derived={"pop_mean": lambda rows: 1.0 / (1.0 + np.exp(-rows["Intercept"]))},
    ),
    Reference(
        "radon",
        "posteriordb/radon_mn-radon_partially_pooled_noncentered.summary.json",
        lambda: columns("radon_mn"),
        "log_radon ~ 1 + (1|county_idx)",
        "gaussian",
        numeric(bg.Normal(0, 10), None, bg.HalfNormal(1), sigma=bg.HalfNormal(1)),
        {"mu_alpha": "Intercept", "sigma_alpha": "sd(Intercept|county_idx)", "sigma_y": "sigma"},
        sums={"alpha": (0, 0)},
    ),
    Reference(
        "radon_slope",
        "posteriordb/radon_mn-radon_variable_intercept_slope_noncentered.summary.json",
        lambda: columns("radon_mn"),
        "log_radon ~ floor_measure + (floor_measure||county_idx)",
        "gaussian",
        numeric(bg.Normal(0, 10), bg.Normal(0, 10), bg.HalfNormal(1), sigma=bg.HalfNormal(1)),
        {
            "mu_alpha": "Intercept",
            "mu_beta": "floor_measure",
            "sigma_alpha": "sd(Intercept|county_idx)",
            "sigma_beta": "sd(floor_measure|county_idx)",
            "sigma_y": "sigma",
        },
        sums={"alpha": (0, 0), "beta": (1, 1)},
    ),
    Reference(
        "rats",
        "posteriordb/rats_data-rats_model.summary.json",
        lambda: columns("rats_data").assign(day=lambda f: f.x - 22),
        "y ~ day + (day||rat)",
        "gaussian",
        numeric(
            bg.Normal(0, 100),
            bg.Normal(0, 100),
            bg.Uniform(0, math.inf),
            sigma=bg.Uniform(0, math.inf),
        ),
        {
            "mu_alpha": "Intercept",
            "mu_beta": "day",
            "sigma_alpha": "sd(Intercept|rat)",
            "sigma_beta": "sd(day|rat)",
            "sigma_y": "sigma",
        },
        sums={"alpha": (0, 0), "beta": (1, 1)},
        derived={"alpha0": lambda rows: rows["Intercept"] - 22.0 * rows["day"]},
    ),
    Reference(
        "eight_schools",  # the draws that posteriordb gives for the centred form too
        "posteriordb/eight_schools-eight_schools_noncentered.summary.json",
        lambda: columns("eight_schools").assign(school=range(8)),
        "y | se(sigma) ~ 1 + (1|school)",
        "gaussian",
        numeric(bg.Normal(0, 5), None, bg.HalfCauchy(5)),
        {"mu": "Intercept", "tau": "sd(Intercept|school)"},
        sums={"theta": (0, 0)},
    ),
    Reference(
        "wells",
        "posteriordb/wells_data-wells_dist.summary.json",
        lambda: columns("wells_data"),
        "switched ~ dist",
        "bernoulli",
        numeric(bg.Flat(), bg.Flat()),
        {"beta[1]": "Intercept", "beta[2]": "dist"},
    ),
    Reference(
        "glm_binomial",
        "posteriordb/GLM_Binomial_data-GLM_Binomial_model.summary.json",
        lambda: columns("GLM_Binomial_data").assign(square=lambda f: f.year**2),
        "C | trials(N) ~ year + square",
        "binomial",
        numeric(bg.Normal(0, 100), bg.Normal(0, 100)),
        {"alpha": "Intercept", "beta1": "year", "beta2": "square"},
    ),
    Reference(
        "glm_poisson",
        "posteriordb/GLM_Poisson_Data-GLM_Poisson_model.summary.json",
        lambda: columns("GLM_Poisson_Data").assign(
            square=lambda f: f.year**2, cube=lambda f: f.year**3
        ),
        "C ~ year + square + cube",
        "poisson",
        # Uniform on bounds that are far outside the posterior: flat.
        numeric(bg.Flat(), bg.Flat()),
        {"alpha": "Intercept", "beta1": "year", "beta2": "square", "beta3": "cube"},
    ),
]
