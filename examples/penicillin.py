"""Plates and samples, crossed: shares of variance, and what six samples can say of theirs.

Six samples of penicillin, each on the same 24 plates (Davies and Goldsmith 1972).
"""

import argparse

import bayesglmm as bg


def main(arguments: list[str] | None = None) -> None:
    """Print REML, the posterior, and the shares of the variance."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--draws", type=int, default=1000, help="of each of four chains")
    asked = options.parse_args(arguments)

    data = bg.load_dataset("penicillin")
    model = bg.glmm("diameter ~ 1 + (1 | plate) + (1 | sample)", data)
    reml = model.fit("reml")
    print(reml, end="\n\n")
    post = model.sample(draws=asked.draws, seed=1)
    print(bg.compare(post, reml), end="\n\n")
    print(post.icc())


if __name__ == "__main__":
    main()
