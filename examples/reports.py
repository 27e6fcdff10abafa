"""The reports of three analyses, as they lie in the folder ``reports`` beside this script.

Seizures of 59 patients, depression of 340 in a trial, reaction times of 18 without sleep. Each page
needs nothing else: open it in a browser.
"""

import argparse
from pathlib import Path

import bayesglmm as bg

MODELS = {
    "epilepsy": (
        "seizures ~ log(base) * treat + log(age) + visit + (visit | id)",
        "poisson",
        "Progabide against placebo: seizures of 59 patients",
    ),
    "depression": (
        "outcome ~ diagnose + treat * time + (1 | case)",
        "bernoulli",
        "A new drug against the standard one: normal moods in a depression trial",
    ),
    "sleepstudy": (
        "Reaction ~ Days + (Days | Subject)",
        "gaussian",
        "Reaction times through nine days with little sleep",
    ),
}


def main(arguments: list[str] | None = None) -> None:
    """Sample the three models and write their reports."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--draws", type=int, default=1000, help="of each of four chains")
    options.add_argument("--folder", type=Path, default=Path(__file__).parent / "reports")
    asked = options.parse_args(arguments)
    asked.folder.mkdir(exist_ok=True)
    for name, (formula, family, title) in MODELS.items():
        model = bg.glmm(formula, bg.load_dataset(name), family)
        post = model.sample(draws=asked.draws, seed=1)
        path = post.report(asked.folder / f"{name}.html", title=title, force=True)
        print(f"{path.name}: {str(post.verdict).splitlines()[0]}")


if __name__ == "__main__":
    main()
