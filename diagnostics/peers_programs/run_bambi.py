"""A Bambi model with PyMC's own NUTS. Its effects are independent: there are no correlations."""

from typing import Any

import arviz
import bambi
import common
import numpy as np
import pandas as pd
import run_pymc


def model_of(problem: dict[str, Any], arrays: dict[str, np.ndarray]) -> bambi.Model:
    """The model on numeric columns, so that its priors are those of the others."""
    priors = problem["priors"]
    frame = pd.DataFrame({"y": arrays["y"]})
    if problem["family"] != "gaussian":
        frame["y"] = frame["y"].astype(int)
    response, given = "y", {}
    at, sd = priors["normal"]["Intercept"], priors["half_student_t"]["sd"]
    given["Intercept"] = bambi.Prior("Normal", mu=at["mean"], sigma=at["sd"])
    terms = ["1"]
    for k, name in enumerate(problem["columns"]):
        terms.append(f"x{k}")
        frame[f"x{k}"] = arrays["X"][:, k]
        given[f"x{k}"] = bambi.Prior("Normal", mu=0.0, sigma=priors["normal"][name]["sd"])
    for k in range(len(problem["levels"])):
        terms.append(f"(1|g{k})")
        frame[f"g{k}"] = pd.Categorical(arrays[f"index{k}"])
        scale = bambi.Prior("HalfStudentT", nu=sd["df"], sigma=sd["scale"])
        given[f"1|g{k}"] = bambi.Prior("Normal", mu=0.0, sigma=scale)
    if "trials" in arrays:
        frame["n"] = arrays["trials"].astype(int)
        response = "p(y, n)"
    if problem["family"] == "gaussian":
        at = priors["half_student_t"]["sigma"]
        given["sigma"] = bambi.Prior("HalfStudentT", nu=at["df"], sigma=at["scale"])
    formula = f"{response} ~ {' + '.join(terms)}"
    model = bambi.Model(formula, frame, family=problem["family"], priors=given)
    model.build()
    return model


def main() -> None:
    how = common.settings()
    clock = common.Clock(how.begun)
    problem, arrays = common.read(how.folder)
    model = clock("build", lambda: model_of(problem, arrays))
    inner = model.backend.model
    trace, complete = clock("run", lambda: run_pymc.by_pymc(inner, how, how.draws))
    posterior = trace["posterior"].to_dataset()
    scalars = [name for name in posterior if posterior[name].ndim == 2]
    print(arviz.summary(posterior[scalars]))
    clock.whole()
    run_pymc.split(trace, "run", clock, how.cores)
    draws: dict[str, list[np.ndarray]] = {"u": [], "sd": [], "sigma": []}
    at = posterior["Intercept"].values
    names = [f"x{k}" for k in range(len(problem["columns"]))]
    b = np.stack([posterior[name].values for name in names], axis=-1) if names else None
    b = np.zeros((*at.shape, 0)) if b is None else b
    draws["beta"] = [common.at_zero(at, b, arrays["center"])]
    for k in range(len(problem["levels"])):
        draws["u"].append(common.flat(posterior[f"1|g{k}"].values))
        draws["sd"].append(posterior[f"1|g{k}_sigma"].values[..., None])
    if "sigma" in posterior:
        draws["sigma"] = [posterior["sigma"].values[..., None]]
    diverging = trace["sample_stats"]["diverging"]
    common.write(how.folder, draws, clock, complete=complete, divergences=int(diverging.sum()))


if __name__ == "__main__":
    main()
