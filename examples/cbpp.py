"""Pneumonia in herds: counts of trials, odds ratios, and what the next herd will be like.

New cases in 15 herds over four periods (Lesnoff et al. 2004); lme4's binomial example.
"""

import argparse

import bayesglmm as bg


def main(arguments: list[str] | None = None) -> None:
    """Print the fit, the odds ratios of the periods, and predictions for a new herd."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--draws", type=int, default=1000, help="of each of four chains")
    asked = options.parse_args(arguments)

    data = bg.load_dataset("cbpp")
    model = bg.glmm("incidence | trials(size) ~ period + (1 | herd)", data, family="binomial")
    print(model.fit("laplace"), end="\n\n")
    post = model.sample(draws=asked.draws, seed=1)
    print(post, end="\n\n")
    print(post.means("period", pairwise=True, exponentiate=True), end="\n\n")

    # The herd in the middle, the mean of all herds, and one herd drawn at random.
    periods = {"period": ["1", "2", "3", "4"], "herd": ["new"] * 4, "size": [10] * 4}
    print(post.predict(periods, effects="population"), end="\n\n")
    print(post.predict(periods, effects="marginal"), end="\n\n")
    print(post.predict(periods, new_levels="sample"))


if __name__ == "__main__":
    main()
