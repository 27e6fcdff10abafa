"""Does progabide reduce seizures? A Poisson model with a random intercept and slope.

59 patients, four visits each (Thall and Vail 1990). The effect of treatment depends on the number
of seizures before it, so the rate ratio is shown at several of them.
"""

import argparse

import bayesglmm as bg


def main(arguments: list[str] | None = None) -> None:
    """Fit the model, print what it says, and the rate ratios with 95% limits."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--draws", type=int, default=1000, help="of each of four chains")
    asked = options.parse_args(arguments)

    data = bg.load_dataset("epilepsy")
    model = bg.glmm(
        "seizures ~ log(base) * treat + log(age) + visit + (visit | id)",
        data,
        family="poisson",
        priors={"sd": bg.HalfStudentT(3, 2.5), "cor": bg.LKJ(2)},
    )
    print(model, end="\n\n")
    post = model.sample(draws=asked.draws, seed=1)
    print(post, end="\n\n")
    print(post.effect_of("treat", over={"base": [8, 16, 32, 64]}, exponentiate=True), end="\n\n")
    print(post.effect_of("treat", over="base", exponentiate=True).crossing())


if __name__ == "__main__":
    main()
