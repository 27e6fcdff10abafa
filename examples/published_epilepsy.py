"""A published GLIMMIX table to the last digit, and the posterior beside it.

The analysis of the seizures of 59 patients as SAS printed it: RSPL with an unstructured covariance
of intercept and visit, the rate ratio of progabide against the number of seizures before, and where
it is 1. Then the same model by Laplace, quadrature and Bayes in one table.
"""

import argparse

import bayesglmm as bg

BASE = [4, 8, 16, 32, 64, 128]  # seizures in the eight weeks before


def main(arguments: list[str] | None = None) -> None:
    """Print the table, the rate ratios, and all methods side by side."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--draws", type=int, default=1000, help="of each of four chains")
    asked = options.parse_args(arguments)

    model = bg.glmm(
        "seizures ~ log(base) * treat + log(age) + visit + (visit | id)",
        bg.load_dataset("epilepsy"),
        family="poisson",
    )
    rspl = model.fit("rspl")
    print(rspl, end="\n\n")
    print("With all printed digits")
    print(rspl.summary()[["estimate", "se", "df"]].round(5).to_string(), end="\n\n")
    print("Covariance parameters, as SAS prints them")
    print(rspl.variances().to_string(), end="\n\n")
    print("Type III tests")
    print(rspl.type3().to_string(), end="\n\n")

    # At base = b the log rate ratio is b_treat + b_interaction log b.
    curve = rspl.effect_of("treat", over={"base": BASE}, exponentiate=True)
    print(curve, end="\n\n")
    print(curve.crossing(), end="\n\n")

    post = model.sample(draws=asked.draws, seed=1)
    print("The same of the posterior")
    print(post.effect_of("treat", over={"base": BASE}, exponentiate=True).crossing(), end="\n\n")
    print(bg.compare(post, model.fit("laplace"), model.fit("aghq"), rspl))


if __name__ == "__main__":
    main()
