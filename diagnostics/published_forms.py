"""Published forms on simulated data: hunters, a split plot, conditional against marginal."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

import bayesglmm as bg

from .report import Report

SEED = 6
DRAWS = 1000

# ---- Ache hunters --------------------------------------------------------------------------------

HUNTERS, TRIPS = 47, 363
CENTRE = 45.0  # years; where the simulated ages are centred
# GLIMMIX's RSPL of the real data, which are not public; here the truth of the simulation.
PUBLISHED = {"Intercept": -2.4222, "age": 0.02889, "age2": -0.00405}
VARIANCE = 1.7965


def hunting() -> pd.DataFrame:
    """Kills of 47 hunters on 363 trips: a rate a day that rises and falls with age."""
    rng = np.random.default_rng(SEED)
    hunter = np.concatenate([np.arange(HUNTERS), rng.integers(HUNTERS, size=TRIPS - HUNTERS)])
    age = (rng.uniform(20.0, 70.0, HUNTERS) - CENTRE)[hunter] + rng.integers(0, 5, TRIPS)
    days = rng.integers(1, 15, TRIPS)
    eta = np.array([np.ones(TRIPS), age, age**2]).T @ np.array(list(PUBLISHED.values()))
    rate = np.exp(eta + np.sqrt(VARIANCE) * rng.normal(size=HUNTERS)[hunter])
    kills = rng.poisson(days * rate)
    return pd.DataFrame(
        {"kills": kills, "age": age, "age2": age**2, "days": days, "hunter": hunter}
    )


def hunters(report: Report) -> None:
    report("Hunters (form; simulated with the published RSPL estimates of the Ache as the truth)")
    model = bg.glmm("kills ~ age + age2 + offset(log(days)) + (1 | hunter)", hunting(), "poisson")
    rspl, laplace = model.fit("rspl"), model.fit("laplace")
    post = model.sample(draws=DRAWS, seed=SEED, progress=False)
    place = {name: i for i, name in enumerate(post.names)}
    sd = "sd(Intercept|hunter)"
    rows = []
    for name, truth in {**PUBLISHED, sd: np.sqrt(VARIANCE)}.items():
        i, draws = place[name], post.scalar_draws[..., place[name]]
        cells = (truth, rspl.estimate[i], laplace.estimate[i], draws.mean(), draws.std())
        rows.append((name, *(f"{value:.5f}" for value in cells)))
    report.table(("row", "published, truth", "RSPL", "Laplace", "posterior mean", "sd"), rows)
    linear, square = (post.scalar_draws[..., place[name]] for name in ("age", "age2"))
    peak = CENTRE - linear / (2.0 * square)
    low, middle, high = np.quantile(peak, [0.025, 0.5, 0.975])
    truth = CENTRE - PUBLISHED["age"] / (2.0 * PUBLISHED["age2"])
    report(f"age at the peak: {middle:.1f} years [{low:.1f}, {high:.1f}], truth {truth:.1f}")
    at_peak, at_20 = (truth - CENTRE, 20.0 - CENTRE)
    change = linear * (at_peak - at_20) + square * (at_peak**2 - at_20**2)
    spread = 2.0 * stats.norm.ppf(0.9) * post.scalar_draws[..., place[sd]]
    report(
        f"rate at the peak over that at 20 years: {np.median(np.exp(change)):.1f}; a hunter at the "
        f"90% point of e^u over one at the 10% point: {np.median(np.exp(spread)):.1f}\n"
    )


# ---- split plot ----------------------------------------------------------------------------------

MANAGEMENTS, MIXES, BLOCKS = 7, 4, 4


def plots() -> pd.DataFrame:
    """Counts of 4 seed mixes in the plots of 7 managements in each of 4 blocks."""
    rng = np.random.default_rng(SEED)
    shape = (BLOCKS, MANAGEMENTS, MIXES)
    block, management, mix = (axis.ravel() for axis in np.indices(shape))
    eta = (
        2.0
        + 0.3 * rng.normal(size=BLOCKS)[block]
        + 0.4 * rng.normal(size=MANAGEMENTS)[management]
        + 0.3 * rng.normal(size=MIXES)[mix]
        + 0.3 * rng.normal(size=(BLOCKS, MANAGEMENTS))[block, management]
    )
    names = {"block": "b", "management": "m", "mix": "s"}
    columns = dict(zip(names, (block, management, mix), strict=True))
    text = {name: [f"{names[name]}{k + 1}" for k in column] for name, column in columns.items()}
    return pd.DataFrame({"count": rng.poisson(np.exp(eta)), **text})


def split_plot(report: Report) -> None:
    report("Split plot (form, simulated): management * mix + (1 | block / management), counts")
    model = bg.glmm("count ~ management * mix + (1 | block / management)", plots(), "poisson")
    fit = model.fit("rspl")
    report(fit.type3().to_string(float_format="{:.3f}".format))
    # The degrees of freedom that the textbook's table of a split plot has.
    whole, within = (BLOCKS - 1) * (MANAGEMENTS - 1), MANAGEMENTS * (BLOCKS - 1) * (MIXES - 1)
    report(f"denominators of a split plot by hand: {whole} between plots, {within} within\n")
    report(f"{fit.means('management', scale='response')}\n")


# ---- conditional and marginal --------------------------------------------------------------------

CLUSTERS = 1000
BETA, SDS = (3.0, 1.0), (2.0, 1.0)
AT = (-10.0, -5.0, -3.0, -1.0, 0.0, 1.0, 5.0)
NODES = 40  # Gauss-Hermite; the marginal mean depends on one normal variable


def clusters() -> pd.DataFrame:
    """Logit with beta = (3, 1), independent effects with variances 4 and 1, x = -10 .. 10."""
    rng = np.random.default_rng(SEED)
    x = np.tile(np.arange(-10.0, 11.0), CLUSTERS)
    g = np.repeat(np.arange(CLUSTERS), x.size // CLUSTERS)
    u = rng.normal(size=(2, CLUSTERS)) * np.array(SDS)[:, None]
    eta = BETA[0] + u[0, g] + (BETA[1] + u[1, g]) * x
    y = (rng.random(x.size) < 1.0 / (1.0 + np.exp(-eta))) * 1
    return pd.DataFrame({"y": y, "x": x, "g": g})


def marginal_mean(x: float) -> float:
    """The true mean of y over clusters, by quadrature over z' u."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    eta = BETA[0] + BETA[1] * x + np.hypot(SDS[0], SDS[1] * x) * nodes
    return float(weights @ (1.0 / (1.0 + np.exp(-eta))) / weights.sum())


def conditional_and_marginal(report: Report) -> None:
    report("Logit, beta = (3, 1), Sigma = diag(4, 1), 1000 clusters, x = -10 .. 10 (simulated)")
    model = bg.glmm("y ~ x + (x | g)", clusters(), "bernoulli")
    laplace, aghq = model.fit("laplace"), model.fit("aghq")
    rows = []
    for i, (name, truth) in enumerate(zip(aghq.names, (*BETA, *SDS, 0.0), strict=True)):
        found = (f"{fit.estimate[i]:.3f} ({fit.se[i]:.3f})" for fit in (laplace, aghq))
        rows.append((name, f"{truth:.2f}", *found))
    report.table(("row", "truth", "Laplace", f"AGHQ, {aghq.nodes} nodes"), rows)
    means = aghq.marginal_means({"x": list(AT)}).table().columns
    lines = []
    for x, mean, se in zip(AT, means["estimate"], means["se"], strict=True):
        typical = 1.0 / (1.0 + np.exp(-(aghq.beta @ (1.0, x))))
        cells = (f"{typical:.4f}", f"{mean:.4f} ({se:.4f})", f"{marginal_mean(x):.4f}")
        lines.append((f"{x:g}", *cells))
    report.table(("x", "typical cluster", "mean over clusters", "its truth"), lines)
    report(f"{aghq.marginal()}\n")


FORMS: tuple[Callable[[Report], None], ...] = (hunters, split_plot, conditional_and_marginal)
