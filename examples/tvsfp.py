"""Lessons against smoking: pupils in classes in schools, a typical class and the population.

1,600 pupils of 135 classes in 28 schools (Flay et al. 1988; Hedeker and Gibbons 1996).
"""

import argparse

import bayesglmm as bg


def main(arguments: list[str] | None = None) -> None:
    """Print the fit, the posterior, odds ratios, and what remains of them over the population."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--draws", type=int, default=1000, help="of each of four chains")
    asked = options.parse_args(arguments)

    data = bg.load_dataset("tvsfp")
    formula = "thksbin ~ thkspre + cc * tv + (1 | school / class)"
    model = bg.glmm(formula, data, family="bernoulli")
    print(model.fit("laplace"), end="\n\n")
    post = model.sample(draws=asked.draws, seed=1)
    print(post, end="\n\n")
    lessons = {"cc alone": "cc", "tv alone": "tv", "cc with tv": "cc + cc:tv"}
    print(post.contrasts(lessons, exponentiate=True), end="\n\n")
    print(post.marginal(), end="\n\n")
    print(post.icc())


if __name__ == "__main__":
    main()
