"""Is this installed copy right? Checks that a user runs where the package is to be used.

Each compares with something outside of the code it checks: a closed form, another library, a
published fit, a long run of Stan, a second sampler. All seeds are fixed, so that a copy that passes
passes each time.
"""

import math
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import families, priors
from ._jit import pointer
from .crosscheck import MAX_Z
from .datasets import load_columns
from .density import identity_map, logdensity
from .diagnostics.ess import ess_bulk
from .diagnostics.rhat import rhat
from .errors import ConvergenceWarning, LoadError
from .io import load
from .model import Model, glmm
from .posterior import Posterior, versions

SEED = 20
WIDTH = 27  # of the names of checks
STEP = 1e-3  # of central differences of fourth order
SD, SHAPE = 20.0, 3.0  # of the priors of sds and correlation whose formula is compared
# glmmTMB 1.1.5, Laplace: cbpp, cbind(incidence, size - incidence) ~ period + (1 | herd).
CBPP = (-1.3985324664, -0.99233229286, -1.1286712975, -1.5803136871)
CBPP_SD, CBPP_LOGLIK = 0.64226167223, -92.0262818648
# lme4 1.1-31, REML: sleepstudy, Reaction ~ Days + (Days | Subject).
SLEEP = (251.4051048485, 10.4672859596)
SLEEP_SDS, SLEEP_COR, SLEEP_SIGMA = (24.7404758616, 5.9221249431), 0.065550053074, 25.591828691
# brms 2.18, 4 x 10,000 draws of Stan: epil, y ~ lbase * trt + lage + V4 + (1 | subject), Poisson,
# priors as in `_epilepsy`: mean, sd, effective draws.
EPIL = {
    "Intercept": (1.82922479, 0.11459321, 9791),
    "lbase": (0.88115662, 0.14232982, 8732),
    "trt[progabide]": (-0.34085971, 0.16167120, 10465),
    "lage": (0.47612386, 0.37373071, 10936),
    "V4": (-0.16030061, 0.05410574, 43959),
    "lbase:trt[progabide]": (0.34220030, 0.22020625, 9899),
    "sd(Intercept|subject)": (0.54740372, 0.06714636, 9428),
}


@dataclass(frozen=True)
class Check:
    """One check: what it is, whether it passed, what was found, and its seconds."""

    name: str
    ok: bool
    found: str
    seconds: float

    def __str__(self) -> str:
        passed = "passed" if self.ok else "FAILED"
        return f"{passed}  {self.name:{WIDTH}}  {self.seconds:5.1f} s  {self.found}"


@dataclass(frozen=True)
class Verification:
    """All checks, and the versions of what was checked.

    Attributes
    ----------
    checks : tuple of Check
    versions : dict of str
    """

    checks: tuple[Check, ...]
    versions: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether all checks passed."""
        return all(check.ok for check in self.checks)

    def record(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        checks = [dict(vars(check)) for check in self.checks]
        return {"ok": self.ok, "checks": checks, "versions": self.versions}

    @property
    def conclusion(self) -> str:
        """The versions, and how many checks passed."""
        failed, count = sum(not check.ok for check in self.checks), len(self.checks)
        shown = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"{shown}\n{f'{failed} of {count} FAILED' if failed else f'all {count} passed'}"

    def __str__(self) -> str:
        return "\n".join([*map(str, self.checks), "", self.conclusion])


def verify(say: Callable[[Check], None] | None = None) -> Verification:
    """Check the installed copy; under a minute, longer the first time, when code is compiled.

    Parameters
    ----------
    say : callable, optional
        Called with each check when it is done.

    Returns
    -------
    Verification
        Print it; ``ok`` says whether all passed.
    """
    checks = []
    with warnings.catch_warnings():
        # Runs are short: whether they have converged is not what is checked. All else is heard, as
        # that compiled code cannot be cached.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for check in _checks():
            checks.append(check)
            if say is not None:
                say(check)
    python = {"python": platform.python_version()}
    return Verification(tuple(checks), versions() | python)


def _checks() -> Iterator[Check]:
    for name, check in CHECKS.items():
        begun = time.perf_counter()
        try:
            ok, found = check()
        except Exception as error:  # what is broken must not hide the other checks
            ok, found = False, f"{type(error).__name__}: {error}"
        yield Check(name, bool(ok), found, time.perf_counter() - begun)


def _likelihoods() -> tuple[bool, str]:
    """Log likelihoods of the families against scipy's distributions."""
    from scipy import stats

    rng = np.random.default_rng(SEED)
    eta, size = rng.normal(0.5, 1.0, 200), 2.5
    mu = np.exp(eta)
    trials, p = rng.integers(1, 20, 200).astype(float), 1.0 / (1.0 + np.exp(-eta))
    one = np.ones(200)
    cases = {
        "poisson": (rng.poisson(mu), one, lambda y: stats.poisson.logpmf(y, mu)),
        "binomial": (
            rng.binomial(trials.astype(int), p), trials,
            lambda y: stats.binom.logpmf(y, trials, p),
        ),
        "gaussian": (eta + rng.normal(size=200), one, lambda y: stats.norm.logpdf(y, eta, size)),
        "negative_binomial": (
            rng.negative_binomial(size, size / (size + mu)), one,
            lambda y: stats.nbinom.logpmf(y, size, size / (size + mu)),
        ),
        "gamma": (
            rng.gamma(size, mu / size), one, lambda y: stats.gamma.logpdf(y, size, scale=mu / size)
        ),
    }  # fmt: skip
    worst = 0.0
    unused = np.empty(0)
    for name, (y, known, of) in cases.items():
        family = families.get(name, "log" if name == "gamma" else None)
        response = y.astype(float)
        prepared, w, constant = family.prepare(response, known if name == "binomial" else None, one)
        values = np.empty(200)
        phi = size if family.dispersion else 1.0
        families.bind(family)(
            families.LOGLIK, eta, prepared, w, phi, values, unused, unused, unused
        )
        expected = float(of(y).sum())
        worst = max(worst, abs(values.sum() + constant - expected) / abs(expected))
    return worst < 1e-10, f"largest relative difference {worst:.1e}"


def _gradient() -> tuple[bool, str]:
    """The gradient of a log density against differences."""
    problem = _epilepsy().problem
    rng = np.random.default_rng(SEED)
    data = problem.data
    effects = int(sum(data.levels[k] for k in data.factor))
    theta = 0.1 * rng.normal(size=data.obs.X.shape[0] + data.prior.covariance.row.size)
    x = np.concatenate([theta, 0.5 * rng.normal(size=effects)])
    rows, map = pointer(problem.rows), identity_map(theta.size, effects)

    def value(at: np.ndarray) -> float:
        return float(logdensity(rows, data, map, at, np.empty(at.size)))

    gradient = np.empty(x.size)
    logdensity(rows, data, map, x, gradient)
    moves = STEP * np.eye(x.size)
    slopes = [
        (value(x - 2 * e) - 8 * value(x - e) + 8 * value(x + e) - value(x + 2 * e)) / (12 * STEP)
        for e in moves
    ]
    off = float(np.abs(gradient - slopes).max() / np.abs(gradient).max())
    return off < 1e-6, f"largest relative difference {off:.1e} of {x.size} coordinates"


def _covariance() -> tuple[bool, str]:
    """The prior of a covariance in unconstrained parameters against its formula, with Jacobian."""
    prior = {"sd": priors.HalfNormal(SD), "cor": priors.LKJ(SHAPE)}
    model = glmm("Reaction ~ Days + (Days | Subject)", load_columns("sleepstudy"), priors=prior)
    data, p = model.problem.data, len(model.design.columns)
    effects = int(sum(data.levels[k] for k in data.factor))
    rows, map = pointer(model.problem.rows), identity_map(p + 4, effects)

    def both(log_sds: tuple[float, float], z: float) -> tuple[float, float]:
        # Without effects the likelihood does not depend on the covariance.
        x = np.zeros(p + 4 + effects)
        x[p : p + 3] = log_sds[0], z, log_sds[1]
        values = model.to_user(x[None, : p + 4], np.zeros((1, effects)))
        sd, log_sech = values["sd"][0], -math.log(math.cosh(z))
        formula = float(np.sum(np.log(sd) - 0.5 * (sd / SD) ** 2))
        # LKJ's (1 - cor^2)^(SHAPE - 1), and 1 - cor^2 of the change to Fisher's z.
        return float(
            logdensity(rows, data, map, x, np.empty(x.size))
        ), formula + 2 * SHAPE * log_sech

    points = [both((1.0, 0.5), 0.0), both((-0.7, 1.2), 0.8), both((0.2, -2.0), -1.7)]
    changes = np.diff(points, axis=0)
    off = float(np.abs(changes[:, 0] / changes[:, 1] - 1.0).max())
    return off < 1e-9, f"largest relative difference {off:.1e}"


def _laplace() -> tuple[bool, str]:
    """A Laplace fit against glmmTMB's."""
    fit = _herds().fit("laplace")
    off = abs(fit.loglik - CBPP_LOGLIK)
    errors = np.abs(fit.beta - np.array(CBPP)) / np.sqrt(np.diag(fit.beta_covariance))
    sd = abs(float(fit.estimate[-1]) - CBPP_SD)
    ok = off < 1e-5 and errors.max() < 2e-3 and sd < 1e-3
    return ok, f"log likelihood off by {off:.1e}, coefficients by {errors.max():.1e} se"


def _reml() -> tuple[bool, str]:
    """A REML fit against lme4's."""
    fit = glmm("Reaction ~ Days + (Days | Subject)", load_columns("sleepstudy")).fit("reml")
    known = np.array([*SLEEP, *SLEEP_SDS, SLEEP_COR, SLEEP_SIGMA])
    off = float(np.max(np.abs(fit.estimate - known) / np.abs(known)))
    return off < 1e-3, f"largest relative difference {off:.1e}"


def _exact() -> tuple[bool, str]:
    """A posterior that is known in closed form: known standard errors, a normal prior."""
    y = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])  # Rubin 1981, Table 1
    se = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
    model = glmm(
        "y | se(se) ~ 1", {"y": y, "se": se}, priors={"Intercept": priors.Normal(0.0, 5.0)}
    )
    precision = (1.0 / se**2).sum() + 1.0 / 25.0
    mean, sd = float((y / se**2).sum() / precision), float(precision**-0.5)
    draws = _sample(model, "nuts", 4000).values["beta"][..., 0]
    ess = float(np.ravel(ess_bulk(draws[..., None]))[0])
    z = (float(draws.mean()) - mean) / (sd / math.sqrt(ess))
    ratio = float(draws.std()) / sd
    ok = abs(z) < MAX_Z and abs(ratio - 1.0) < 4.0 / math.sqrt(2.0 * ess)
    return ok, f"mean z = {z:.2f}, sd ratio {ratio:.3f}"


def _reference() -> tuple[bool, str]:
    """Posterior means against a long run of Stan."""
    post = _sample(_epilepsy(), "gibbs", 4000)
    found = _moments(post)
    return _agree({name: (found[name], known) for name, known in EPIL.items()})


def _samplers() -> tuple[bool, str]:
    """Two samplers of one posterior."""
    model = _herds()
    first, second = (_moments(_sample(model, name, 3000)) for name in ("gibbs", "nuts"))
    return _agree({name: (first[name], second[name]) for name in first})


def _repeatable() -> tuple[bool, str]:
    """The same draws by any number of threads, and by a run that is extended."""
    model = _herds()
    whole = _sample(model, "gibbs", 200, jobs=1)
    threads = _sample(model, "gibbs", 200, jobs=2)
    longer = _sample(model, "gibbs", 120, jobs=2).extend(80, progress=False)
    same = [
        np.array_equal(whole.values["beta"], other.values["beta"])
        and np.array_equal(whole.values["u"]["herd"], other.values["u"]["herd"])
        for other in (threads, longer)
    ]
    return all(same), "bit for bit" if all(same) else "threads or an extension change the draws"


def _files() -> tuple[bool, str]:
    """What is saved is what is loaded, and a damaged file is refused."""
    post = _sample(_herds(), "gibbs", 100)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "post.nc")
        post.save(path)
        again = load(path)
        same = np.array_equal(again.values["beta"], post.values["beta"])
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
        try:
            load(path)
        except LoadError:
            refused = True
        else:
            refused = False
    return same and refused, f"the same: {same}; damage refused: {refused}"


def _diagnostics() -> tuple[bool, str]:
    """R-hat and effective sample sizes against ArviZ's."""
    import arviz_stats

    rng = np.random.default_rng(SEED)
    draws = rng.normal(size=(4, 500)).cumsum(axis=1) * 0.02 + rng.normal(size=(4, 500))
    ours = [float(np.ravel(f(draws[..., None]))[0]) for f in (rhat, ess_bulk)]
    known = [float(arviz_stats.rhat(draws)), float(arviz_stats.ess(draws, method="bulk"))]
    off = max(abs(a / b - 1.0) for a, b in zip(ours, known, strict=True))
    return off < 1e-8, f"largest relative difference {off:.1e}"


CHECKS: dict[str, Callable[[], tuple[bool, str]]] = {
    "log likelihoods, scipy": _likelihoods,
    "gradient, differences": _gradient,
    "covariance prior, formula": _covariance,
    "Laplace fit, glmmTMB": _laplace,
    "REML fit, lme4": _reml,
    "posterior, closed form": _exact,
    "posterior, long run of Stan": _reference,
    "posterior, two samplers": _samplers,
    "draws repeat": _repeatable,
    "files": _files,
    "R-hat and ESS, ArviZ": _diagnostics,
}


def _epilepsy() -> Model:
    frame = load_columns("epil")
    sds = {
        "lbase": 0.744543798, "trt[progabide]": 0.499353216, "lage": 0.22198518,
        "V4": 0.433012702, "lbase:trt[progabide]": 0.508155465,
    }  # fmt: skip
    widths = {name: priors.Normal(0.0, 2.5 / sd) for name, sd in sds.items()}
    return glmm(
        "y ~ lbase*trt + lage + V4 + (1 | subject)",
        frame,
        "poisson",
        priors={
            "Intercept": priors.Normal(0.0, 2.5),
            "sd": priors.HalfStudentT(3.0, 2.5),
            **widths,
        },
    )


def _herds() -> Model:
    return glmm("incidence | trials(size) ~ period + (1 | herd)", load_columns("cbpp"), "binomial")


def _sample(model: Model, sampler: str, draws: int, jobs: int | None = None) -> Posterior:
    post: Posterior = model.sample(
        draws=draws, warmup=500, chains=4, seed=SEED, sampler=sampler, jobs=jobs, progress=False
    )
    return post


def _moments(post: Posterior) -> dict[str, tuple[float, float, float]]:
    """Mean, sd and effective draws of every parameter."""
    table = post.table()
    columns = (table.columns[name].tolist() for name in ("mean", "sd", "ess_bulk"))
    return dict(zip(table.rows, zip(*columns, strict=True), strict=True))


def _agree(pairs: dict[str, tuple[Any, Any]]) -> tuple[bool, str]:
    """Whether means agree within the Monte Carlo errors of both sides."""
    worst = 0.0
    for sides in pairs.values():
        error = math.hypot(*(sd / math.sqrt(ess) for _, sd, ess in sides))
        worst = max(worst, abs(sides[0][0] - sides[1][0]) / error)
    return worst < MAX_Z, f"largest abs z = {worst:.2f} of {len(pairs)} parameters"
