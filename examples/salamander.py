"""Who mates with whom: crossed factors, binary answers, and where Laplace falls short.

Matings of 60 female and 60 male salamanders of two kinds (McCullagh and Nelder 1989).
"""

import argparse

import bayesglmm as bg


def main(arguments: list[str] | None = None) -> None:
    """Print Laplace's fit, the posterior beside it, and the odds ratios of the kinds."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--draws", type=int, default=1000, help="of each of four chains")
    asked = options.parse_args(arguments)

    data = bg.load_dataset("salamander")
    model = bg.glmm("Mate ~ 0 + Cross + (1 | Female) + (1 | Male)", data, family="bernoulli")
    post = model.sample(draws=asked.draws, seed=1)
    print(bg.compare(post, model.fit("laplace")), end="\n\n")
    kinds = {
        "W female: with W against R": "Cross[W/W] - Cross[W/R]",
        "R female: with R against W": "Cross[R/R] - Cross[R/W]",
        "ratio of the two": "Cross[W/W] - Cross[W/R] - Cross[R/R] + Cross[R/W]",
    }
    print(post.contrasts(kinds, exponentiate=True))


if __name__ == "__main__":
    main()
