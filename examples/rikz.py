"""Species on nine beaches: what few groups mean for an sd, and where lme4 stopped early.

Five places on each of nine Dutch beaches (RIKZ; Zuur, Ieno and Smith 2007).
"""

import argparse

import bayesglmm as bg


def main(arguments: list[str] | None = None) -> None:
    """Print the fit beside the published one, the posterior, and the check for overdispersion."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--draws", type=int, default=1000, help="of each of four chains")
    asked = options.parse_args(arguments)

    data = bg.load_dataset("rikz")
    model = bg.glmm("Richness ~ NAP + (1 | Beach)", data, family="poisson")
    laplace = model.fit("laplace")
    print("As published with lme4: 1.66233 (.17373), -.50389 (.07535), sd .47428; the maximum is")
    print(laplace.summary()[["estimate", "se"]].round(5).to_string(), end="\n\n")
    post = model.sample(draws=asked.draws, seed=1)
    print(bg.compare(post, laplace), end="\n\n")
    print(post.contrasts({"one metre higher": "NAP"}, exponentiate=True), end="\n\n")

    # An effect of every sample: variation beyond Poisson, on the scale of the log.
    both = bg.glmm("Richness ~ NAP + (1 | Beach) + (1 | Sample)", data, family="poisson")
    print(both.sample(draws=asked.draws, seed=1))


if __name__ == "__main__":
    main()
