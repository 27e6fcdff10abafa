"""Does progabide reduce seizures? A Poisson model with a random intercept and slope.

59 patients, four visits each (Thall and Vail 1990). The effect of treatment depends on the number
of seizures before it, so the rate ratio is shown at several of them.
"""

import numpy as np

import bayesglmm as bg


def main() -> None:
    """Fit the model, print what it says, and the rate ratios with 95% limits."""
    data = bg.load_dataset("epilepsy")
    model = bg.glmm(
        "seizures ~ log(base) * treat + log(age) + visit + (visit | id)",
        data,
        family="poisson",
        priors={"sd": bg.HalfStudentT(3, 2.5), "cor": bg.LKJ(2)},
    )
    print(model, end="\n\n")
    post = model.sample(seed=1)
    print(post, end="\n\n")

    position = {name: i for i, name in enumerate(post.names)}
    treat = next(name for name in post.names if name.startswith("treat["))
    effect = post.scalar_draws[..., position[treat]]
    change = post.scalar_draws[..., position[f"log(base):{treat}"]]
    print(f"rate ratio of {treat}, 95% limits")
    for base in (8, 16, 32, 64):
        ratio = np.exp(effect + change * np.log(base))
        low, middle, high = np.quantile(ratio, [0.025, 0.5, 0.975])
        print(f"  {base:3d} seizures before: {middle:.2f} [{low:.2f}, {high:.2f}]")


if __name__ == "__main__":
    main()
