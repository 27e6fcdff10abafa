"""How flat a likelihood can be, and what four priors make of it.

340 patients, three visits each (Koch et al. 1977): normal mood by diagnosis, treatment and time,
with a random intercept for each patient. Three binary answers say little about how much patients
differ: the log likelihood hardly changes while the sd goes from 0 to .3. Laplace, quadrature and
RSPL report variances of .003, .005 and .018 from it, and every posterior of the sd shows its prior.
The coefficients do not care.
"""

import argparse
from collections.abc import Sequence

import numpy as np

import bayesglmm as bg
from bayesglmm import profiles

FORMULA = "outcome ~ diagnose + treat * factor(time) + (1 | case)"
SD = "sd(Intercept|case)"
EFFECT = "treat[new]:factor(time)[2]"  # what the new treatment adds by week 4
GRID = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # sds at which the likelihood is shown
PRIORS = {
    "half-t(3, 0, 2.5)": bg.HalfStudentT(3, 2.5),
    "uniform(0, 10)": bg.Uniform(0, 10),
    "exponential(1)": bg.Exponential(1),
    "1/variance gamma(.001, .001)": bg.GammaPrecision(0.001, 0.001),
}


def main(arguments: list[str] | None = None) -> None:
    """Print the likelihood in the sd and its posterior under four priors; plot them if asked."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--draws", type=int, default=2000, help="of each of four chains")
    options.add_argument("--figure", help="file for the plot")
    asked = options.parse_args(arguments)

    data = bg.load_dataset("depression")
    model = bg.glmm(FORMULA, data, family="bernoulli")
    fits = [model.fit(method) for method in ("laplace", "aghq", "rspl")]
    print("Variance of the patients, and the effect of the new treatment by week 4")
    for fit in fits:
        place = fit.names.index(EFFECT)
        variance = fit.estimate[fit.names.index(SD)] ** 2
        shown = f"{fit.estimate[place]:.4f} ({fit.se[place]:.4f})"
        print(f"  {fit.method:8s} {variance:.5f}   {EFFECT} {shown}")

    print("\nLog likelihood below its maximum, all coefficients at their best given the sd")
    print("  sd      " + "".join(f"{sd:8.2f}" for sd in GRID))
    for fit in fits[:2]:
        print(f"  {fit.method:8s}" + "".join(f"{lost:8.3f}" for lost in drop(fit, GRID)))

    print("\nPosterior of the sd, and of the effect")
    draws = {}
    for label, prior in PRIORS.items():
        post = bg.glmm(FORMULA, data, family="bernoulli", priors={"sd": prior}).sample(
            draws=asked.draws, seed=1
        )
        draws[label], effect = (
            post.scalar_draws[..., post.names.index(name)].ravel() for name in (SD, EFFECT)
        )
        low, middle, high = np.quantile(draws[label], [0.025, 0.5, 0.975])
        print(
            f"  {label:30s} {middle:.2f} [{low:.2f}, {high:.2f}]   {effect.mean():.2f} "
            f"({effect.std():.2f})"
        )
    if asked.figure:
        plot(asked.figure, fits[:2], draws)
        print(f"\nsaved {asked.figure}")


def drop(fit: bg.Fit, sds: Sequence[float]) -> np.ndarray:
    """How far below its maximum the profile log likelihood is at some sds."""
    curve = profiles.curve(fit, SD, reach=4.0, points=30)
    # The signed root is nearly straight where the likelihood bends.
    return -0.5 * np.interp(sds, curve.value, curve.zeta) ** 2


def plot(path: str, fits: list[bg.Fit], draws: dict[str, np.ndarray]) -> None:
    """The likelihood above, the posteriors below, over the same sds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (above, below) = plt.subplots(2, sharex=True, figsize=(7, 6), layout="constrained")
    sds = np.linspace(0.01, 0.8, 200)
    for fit in fits:
        above.plot(sds, drop(fit, sds), label=fit.method)
    above.set(ylabel="log likelihood\nbelow its maximum", ylim=(-2.5, 0.1))
    above.legend()
    for label, values in draws.items():
        below.hist(values, bins=50, range=(0, 1), density=True, histtype="step", label=label)
    below.set(xlabel=SD, ylabel="posterior density", xlim=(0, 1))
    below.legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
