"""A PyMC model with nutpie's NUTS or PyMC's own, effects centred or not as the variant says."""

import os
import sys
from typing import Any

import common
import numpy as np
import pymc as pm


def model_of(problem: dict[str, Any], arrays: dict[str, np.ndarray], centred: bool) -> pm.Model:
    """As PyMC's users write a GLMM: LKJCholeskyCov, and u = L v unless centred."""
    priors, columns = problem["priors"], problem["columns"]
    sd = priors["half_student_t"]["sd"]
    with pm.Model() as model:
        at = priors["normal"]["Intercept"]
        eta = pm.Normal("intercept", at["mean"], at["sd"])
        if columns:
            sds = np.array([priors["normal"][name]["sd"] for name in columns])
            eta = eta + arrays["X"] @ pm.Normal("b", 0.0, sds, shape=len(columns))
        for k, levels in enumerate(problem["levels"]):
            index, z = arrays[f"index{k}"], arrays[f"z{k}"]
            if z.shape[1] == 1:
                scale = pm.HalfStudentT(f"sd{k}", sd["df"], sd["scale"])
                if centred:
                    u = pm.Normal(f"u{k}", 0.0, scale, shape=levels)
                else:
                    u = pm.Deterministic(f"u{k}", scale * pm.Normal(f"v{k}", shape=levels))
                eta = eta + u[index]
            else:
                q = z.shape[1]
                each = pm.HalfStudentT.dist(sd["df"], sd["scale"], shape=q)
                eta_lkj = priors["lkj"]["cor"]["eta"]
                L, _, _ = pm.LKJCholeskyCov(f"L{k}", n=q, eta=eta_lkj, sd_dist=each)
                if centred:
                    u = pm.MvNormal(f"u{k}", np.zeros(q), chol=L, shape=(levels, q))
                else:
                    v = pm.Normal(f"v{k}", shape=(q, levels))
                    u = pm.Deterministic(f"u{k}", (L @ v).T)
                eta = eta + (u[index] * z).sum(axis=1)
        y = arrays["y"]
        if problem["family"] == "gaussian":
            at = priors["half_student_t"]["sigma"]
            pm.Normal("y", eta, pm.HalfStudentT("sigma", at["df"], at["scale"]), observed=y)
        elif problem["family"] == "poisson":
            pm.Poisson("y", pm.math.exp(eta), observed=y.astype(int))
        elif problem["family"] == "binomial":
            trials = arrays["trials"].astype(int)
            pm.Binomial("y", trials, logit_p=eta, observed=y.astype(int))
        else:
            pm.Bernoulli("y", logit_p=eta, observed=y.astype(int))
    return model


class Stop:
    """Stops PyMC's chains, in processes of their own, when their CPU seconds are used up."""

    every = 50  # draws between looks at the clock

    def __init__(self, budget: float) -> None:
        self.end = common.group_cpu(os.getpgrp()) + budget
        self.calls, self.stopped = 0, False

    def __call__(self, trace: Any, draw: Any) -> None:
        """Count a draw, and stop the chains if it is time."""
        self.calls += 1
        if self.calls % self.every == 0 and common.group_cpu(os.getpgrp()) > self.end:
            self.stopped = True
            raise KeyboardInterrupt


def by_pymc(model: pm.Model, how: common.Settings, draws: int) -> tuple[Any, bool]:
    """Sample with PyMC's own NUTS; return the trace, and whether it came to its end."""
    stop = Stop(how.budget)
    with model:
        trace = pm.sample(
            draws=draws,
            tune=how.warmup,
            chains=how.chains,
            cores=how.cores,
            random_seed=how.seed,
            discard_tuned_samples=False,
            compute_convergence_checks=False,
            progressbar=False,
            callback=stop,
            nuts_sampler="pymc",
        )
    return trace, not stop.stopped


def by_nutpie(compiled: Any, how: common.Settings, draws: int) -> tuple[Any, bool]:
    """Sample with nutpie; return the trace, and whether it came to its end."""
    import nutpie

    end = common.cpu() + how.budget
    sampler = nutpie.sample(
        compiled,
        draws=draws,
        tune=how.warmup,
        chains=how.chains,
        cores=how.cores,
        seed=how.seed,
        save_warmup=True,
        progress_bar=False,
        blocking=False,
    )
    while True:
        try:
            return sampler.wait(timeout=0.2), True
        except TimeoutError:
            if common.cpu() > end:
                return sampler.abort(), False


def split(trace: Any, phase: str, clock: common.Clock, cores: int) -> None:
    """Note the seconds of sampling after warm-up, and of a run without its compilation.

    nutpie's seconds are divided by leapfrog steps; PyMC's own come with every draw.
    """
    after = trace["sample_stats"]
    groups = [after]
    if "warmup_sample_stats" in trace.children:
        groups.append(trace["warmup_sample_stats"])
    if "process_time_diff" in after:
        each = [
            [float(g["process_time_diff"].sum()), float(g["perf_counter_diff"].sum()) / cores]
            for g in groups
        ]
        clock.seconds[f"{phase}, sampling"] = each[0]
        clock.seconds[phase] = [sum(seconds) for seconds in zip(*each, strict=True)]
        return
    steps = [float(g["n_steps"].sum()) for g in groups]
    share = steps[0] / sum(steps)
    clock.seconds[f"{phase}, sampling"] = [share * seconds for seconds in clock.seconds[phase]]


def draws_of(problem: dict[str, Any], arrays: dict[str, np.ndarray], posterior: Any) -> dict:
    """Return the draws by kind."""
    draws: dict[str, list[np.ndarray]] = {"sd": [], "cor": [], "sigma": [], "u": []}
    at = posterior["intercept"].values
    b = posterior["b"].values if problem["columns"] else np.zeros((*at.shape, 0))
    draws["beta"] = [common.at_zero(at, b, arrays["center"])]
    for k in range(len(problem["levels"])):
        draws["u"].append(common.flat(posterior[f"u{k}"].values))
        if f"sd{k}" in posterior:
            draws["sd"].append(posterior[f"sd{k}"].values[..., None])
        else:
            draws["sd"].append(posterior[f"L{k}_stds"].values)
            draws["cor"].append(common.below(posterior[f"L{k}_corr"].values))
    if "sigma" in posterior:
        draws["sigma"] = [posterior["sigma"].values[..., None]]
    return draws


def main() -> None:
    how = common.settings()
    clock = common.Clock(how.begun)
    problem, arrays = common.read(how.folder)
    model = clock("build", lambda: model_of(problem, arrays, how.variant == "centred"))
    sample: Any = by_pymc
    if sys.argv[2] == "nutpie":
        import nutpie

        sample = by_nutpie
        model = clock("compile", lambda: nutpie.compile_pymc_model(model))
    trace, complete = clock("run", lambda: sample(model, how, how.draws))
    posterior = trace["posterior"].to_dataset()
    scalars = [name for name in posterior if name[0] not in "uvL" or name.endswith("stds")]
    import arviz

    print(arviz.summary(posterior[scalars]))
    clock.whole()
    split(trace, "run", clock, how.cores)
    more = common.more_draws(how, clock.seconds["run"][0]) if complete else 0
    if more:
        trace, _ = clock("longer", lambda: sample(model, how, more))
        split(trace, "longer", clock, how.cores)
        posterior = trace["posterior"].to_dataset()
    common.write(
        how.folder,
        draws_of(problem, arrays, posterior),
        clock,
        complete=complete,
        divergences=int(trace["sample_stats"]["diverging"].sum()),
    )


if __name__ == "__main__":
    main()
