"""Reaction times without sleep: REML, a likelihood-ratio test, and the posterior beside them.

18 subjects over ten days (Belenky et al. 2003); lme4's own example. REML reproduces its table; the
test whether subjects differ in their slopes is by maximum likelihood.
"""

import argparse

import bayesglmm as bg


def main(arguments: list[str] | None = None) -> None:
    """Print the fits, the test, the predicted effects and the comparison."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--draws", type=int, default=1000, help="of each of four chains")
    asked = options.parse_args(arguments)

    data = bg.load_dataset("sleepstudy")
    model = bg.glmm("Reaction ~ Days + (Days | Subject)", data)
    parallel = bg.glmm("Reaction ~ Days + (1 | Subject)", data)

    reml = model.fit("reml")
    print(reml, end="\n\n")
    print(reml.variances().to_string(), end="\n\n")

    # A variance is tested at the edge of its range: the mixture's p is the right one.
    print(bg.anova(parallel.fit("ml"), model.fit("ml"), names=("parallel", "slopes")), end="\n\n")

    print("95% limits from the profile of the likelihood")
    print(model.fit("ml").confint(method="profile").to_string(), end="\n\n")

    post = model.sample(draws=asked.draws, seed=1)
    print(bg.compare(post, reml, model.fit("ml")))


if __name__ == "__main__":
    main()
