"""Seizures once more: whether their scatter within a patient is that of Poisson counts.

The trial of progabide in the copy of R's MASS (Thall and Vail 1990; Breslow and Clayton 1993).
"""

import argparse

import bayesglmm as bg


def main(arguments: list[str] | None = None) -> None:
    """Print the posteriors of Poisson and negative binomial models side by side."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--draws", type=int, default=1000, help="of each of four chains")
    asked = options.parse_args(arguments)

    data = bg.load_dataset("epil")
    formula = "y ~ lbase * trt + lage + V4 + (1 | subject)"
    poisson = bg.glmm(formula, data, family="poisson")
    negative = bg.glmm(formula, data, family="negative_binomial")
    first, second = (model.sample(draws=asked.draws, seed=1) for model in (poisson, negative))
    print(second, end="\n\n")
    print(bg.compare(first, second, poisson.fit("laplace")))


if __name__ == "__main__":
    main()
