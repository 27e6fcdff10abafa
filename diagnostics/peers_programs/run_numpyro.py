"""A NumPyro model with its NUTS; chains in parallel or vectorized, effects centred or not."""

import os
import sys
from typing import Any

# One thread a chain: XLA's own threads take more CPU seconds than they save here.
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=4 "
    "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import common
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS

jax.config.update("jax_enable_x64", True)
TIMED_AGAIN = 60.0  # CPU seconds of a run from which on its compilation does not count


def model_of(problem: dict[str, Any], arrays: dict[str, np.ndarray], centred: bool) -> Any:
    """As NumPyro's users write a GLMM: LKJCholesky, and u = L v unless centred."""
    priors, columns = problem["priors"], problem["columns"]
    X = jnp.asarray(arrays["X"])
    sds = jnp.array([priors["normal"][name]["sd"] for name in columns])
    index = [jnp.asarray(arrays[f"index{k}"]) for k in range(len(problem["levels"]))]
    z = [jnp.asarray(arrays[f"z{k}"]) for k in range(len(problem["levels"]))]

    def half_t(df: float, scale: float) -> Any:
        return dist.FoldedDistribution(dist.StudentT(df, 0.0, scale))

    def model(y: Any) -> None:
        at, sd = priors["normal"]["Intercept"], priors["half_student_t"]["sd"]
        eta = numpyro.sample("intercept", dist.Normal(at["mean"], at["sd"]))
        if columns:
            eta = eta + X @ numpyro.sample("b", dist.Normal(0.0, sds).to_event(1))
        for k, levels in enumerate(problem["levels"]):
            q = z[k].shape[1]
            if q == 1:
                scale = numpyro.sample(f"sd{k}", half_t(**sd))
                if centred:
                    u = numpyro.sample(
                        f"u{k}", dist.Normal(0.0, scale).expand([levels]).to_event(1)
                    )
                else:
                    each = dist.Normal(0.0, 1.0).expand([levels])
                    v = numpyro.sample(f"v{k}", each.to_event(1))
                    u = numpyro.deterministic(f"u{k}", scale * v)
                eta = eta + u[index[k]]
            else:
                scale = numpyro.sample(f"sd{k}", half_t(**sd).expand([q]).to_event(1))
                C = numpyro.sample(f"C{k}", dist.LKJCholesky(q, priors["lkj"]["cor"]["eta"]))
                numpyro.deterministic(f"cor{k}", C @ C.T)
                L = scale[:, None] * C
                if centred:
                    each = dist.MultivariateNormal(jnp.zeros(q), scale_tril=L).expand([levels])
                    u = numpyro.sample(f"u{k}", each.to_event(1))
                else:
                    each = dist.Normal(0.0, 1.0).expand([q, levels]).to_event(2)
                    u = numpyro.deterministic(f"u{k}", (L @ numpyro.sample(f"v{k}", each)).T)
                eta = eta + (u[index[k]] * z[k]).sum(axis=1)
        if problem["family"] == "gaussian":
            sigma = numpyro.sample("sigma", half_t(**priors["half_student_t"]["sigma"]))
            numpyro.sample("y", dist.Normal(eta, sigma), obs=y)
        elif problem["family"] == "poisson":
            numpyro.sample("y", dist.Poisson(jnp.exp(eta)), obs=y)
        elif problem["family"] == "binomial":
            numpyro.sample("y", dist.Binomial(jnp.asarray(arrays["trials"]), logits=eta), obs=y)
        else:
            numpyro.sample("y", dist.Bernoulli(logits=eta), obs=y)

    return model


def draws_of(problem: dict[str, Any], arrays: dict[str, np.ndarray], samples: Any) -> dict:
    """Return the draws by kind."""
    samples = {name: np.asarray(value) for name, value in samples.items()}
    draws: dict[str, list[np.ndarray]] = {"sd": [], "cor": [], "sigma": [], "u": []}
    at = samples["intercept"]
    b = samples["b"] if problem["columns"] else np.zeros((*at.shape, 0))
    draws["beta"] = [common.at_zero(at, b, arrays["center"])]
    for k in range(len(problem["levels"])):
        draws["u"].append(common.flat(samples[f"u{k}"]))
        draws["sd"].append(common.flat(samples[f"sd{k}"]))
        if f"cor{k}" in samples:
            draws["cor"].append(common.below(samples[f"cor{k}"]))
    if "sigma" in samples:
        draws["sigma"] = [samples["sigma"][..., None]]
    return draws


def main() -> None:
    how = common.settings()
    clock = common.Clock(how.begun)
    problem, arrays = common.read(how.folder)
    centred = "not centred" not in how.variant
    mcmc = MCMC(
        NUTS(model_of(problem, arrays, centred)),
        num_warmup=how.warmup,
        num_samples=how.draws,
        num_chains=how.chains,
        chain_method=sys.argv[2],
        progress_bar=False,
    )
    y = jnp.asarray(arrays["y"])
    fields = ("num_steps", "diverging")

    def warm() -> float:
        mcmc.warmup(jax.random.PRNGKey(how.seed), y, extra_fields=fields, collect_warmup=True)
        return float(np.sum(mcmc.get_extra_fields()["num_steps"]))

    def run() -> float:
        mcmc.run(mcmc.post_warmup_state.rng_key, y, extra_fields=fields)
        return float(np.sum(jax.block_until_ready(mcmc.get_extra_fields()["num_steps"])))

    before = clock("warm-up", warm)
    after = clock("first", run)
    samples = mcmc.get_samples(group_by_chain=True)
    scalars = {k: v for k, v in samples.items() if k[0] not in "uvC"}
    numpyro.diagnostics.print_summary(scalars)
    clock.whole()
    seconds, first = clock.seconds, clock.seconds["first"]
    seconds["run, sampling"] = first
    seconds["run"] = [a + b for a, b in zip(seconds["warm-up"], first, strict=True)]
    if first[0] < TIMED_AGAIN:
        # Again without compilation: the seconds of a step, of which warm-up took so many.
        more = max(how.draws, common.more_draws(how, first[0]))
        mcmc.num_samples = more
        for phase in ("compiled", "longer, sampling"):
            mcmc.post_warmup_state = mcmc.last_state
            steps = clock(phase, run)
        step = [each / steps for each in seconds["longer, sampling"]]
        seconds["run, sampling"] = [each * after for each in step]
        seconds["run"] = [each * (before + after) for each in step]
    common.write(
        how.folder,
        draws_of(problem, arrays, mcmc.get_samples(group_by_chain=True)),
        clock,
        complete=True,
        divergences=int(np.sum(mcmc.get_extra_fields()["diverging"])),
    )


if __name__ == "__main__":
    main()
