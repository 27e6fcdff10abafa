"""bayesglmm in a fresh process: read the table, build the model, sample, print the summary."""

import os

import common
import numpy as np


def main() -> None:
    how = common.settings()
    clock = common.Clock(how.begun)
    problem, _ = common.read(how.folder)

    import bayesglmm as bg

    def sample():
        return model.sample(
            draws=how.draws,
            warmup=how.warmup,
            chains=how.chains,
            jobs=how.cores,
            seed=how.seed,
            sampler=how.variant,
            progress=False,
        )

    frame = bg.read_csv(os.path.join(how.folder, "frame.csv"), factors=problem["text"])
    priors = problem["priors"]
    model = bg.glmm(
        problem["formula"],
        frame,
        family=problem["family"],
        priors={
            **{name: bg.Normal(**numbers) for name, numbers in priors["normal"].items()},
            **{name: bg.HalfStudentT(**n) for name, n in priors["half_student_t"].items()},
            **{name: bg.LKJ(**numbers) for name, numbers in priors["lkj"].items()},
        },
    )
    post = clock("first", sample)
    print(post)
    clock.whole()
    # Again with everything compiled and loaded, as the peers' seconds are.
    post = clock("run", sample)
    short = post.draws
    each = clock.seconds["run"][0] / (how.draws + how.warmup)
    effects = sum(values.shape[2] * values.shape[3] for values in post.values["u"].values())
    room = int(6e8 / (8 * how.chains * max(effects, 1)))
    more = max(how.draws, min(common.MOST_DRAWS, room, int(how.longer / max(each, 1e-9))))
    post = clock("longer, sampling", lambda: post.extend(more, jobs=how.cores, progress=False))
    clock.seconds["longer"] = clock.seconds["longer, sampling"]
    share = how.draws / more
    clock.seconds["run, sampling"] = [share * s for s in clock.seconds["longer, sampling"]]

    def kept(values: np.ndarray) -> np.ndarray:
        return values[:, short:]

    values = post.values
    draws = {
        "beta": [kept(values["beta"])],
        "sd": [kept(values["sd"])],
        "cor": [kept(values["cor"])],
        "sigma": [kept(values["sigma"])[..., None]] if "sigma" in values else [],
        "u": [common.flat(kept(each)) for each in values["u"].values()],
    }
    stats = post.stats.get("divergent")
    common.write(
        how.folder,
        draws,
        clock,
        complete=True,
        divergences=0 if stats is None else int(stats.sum()),
        sampler=post.run.sampler,
    )


if __name__ == "__main__":
    main()
