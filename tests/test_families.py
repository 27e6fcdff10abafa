"""Row functions against arithmetic of many digits, and loops over rows against row functions."""

import os
import subprocess
import sys

import mpmath as mp
import numpy as np
import pytest
from kernels import callable_, with_compilation_off

from bayesglmm import _special, families
from bayesglmm._jit import ENABLED

EXTREME = (-745.0, -700.0, -40.0, -1e-8, 0.0, 1e-8, 40.0, 700.0, 709.0)
# Pairs that share row functions are tested once, as the one defined first.
PAIRS = {type(f.marker): f for f in reversed(families.FAMILIES.values()) if f.packaged}
pairs = pytest.mark.parametrize("family", PAIRS.values(), ids=lambda f: f"{f.name}-{f.link}")

MP_INVERSE = {
    "identity": lambda eta: eta,
    "log": mp.exp,
    "logit": lambda eta: 1 / (1 + mp.exp(-eta)),
    "probit": lambda eta: mp.erfc(-eta / mp.sqrt(2)) / 2,
    "cloglog": lambda eta: -mp.expm1(-mp.exp(eta)),
    "sqrt": lambda eta: eta**2,
}
# 1 - p, where p rounds to 1.
MP_FAILURE = {
    "logit": lambda eta: 1 / (1 + mp.exp(eta)),
    "probit": lambda eta: mp.erfc(eta / mp.sqrt(2)) / 2,
    "cloglog": lambda eta: mp.exp(-mp.exp(eta)),
}


def mp_loglik(family, y, w, eta, phi):
    mu = MP_INVERSE[family.link](eta)
    if family.name == "gaussian":
        return -w * (mp.log(phi) + ((y - mu) / phi) ** 2 / 2)
    if family.name == "poisson":
        return (y * mp.log(mu) if y else 0) - w * mu
    log_failure = -mp.exp(eta) if family.link == "cloglog" else mp.log(MP_FAILURE[family.link](eta))
    return (y * mp.log(mu) if y else 0) + ((w - y) * log_failure if w > y else 0)


def mp_derivatives(family, y, w, eta, phi):
    """Log-likelihood, score, curvature and slope, by differences in high precision."""

    def f(x):
        return mp_loglik(family, y, w, x, phi)

    h = mp.mpf(10) ** -40
    down, below, at, above, up = (f(eta + k * h) for k in (-2, -1, 0, 1, 2))
    score = (below * -8 + above * 8 + down - up) / (12 * h)
    curvature = -(above - 2 * at + below) / h**2
    slope = -(up - 2 * above + 2 * below - down) / (2 * h**3)
    return at, score, curvature, slope


def compiled(family, name):
    return callable_(getattr(family.scalars, name))


def etas(family):
    rng = np.random.default_rng(5)
    if family.link == "sqrt" or (family.link == "identity" and family.name == "poisson"):
        return (1e-8, 1e-3, 0.7, 40.0, 709.0, *rng.exponential(3.0, 8))
    # e^(2 eta) of the Gaussian log link, and its square, stay finite below 350.
    extreme = [e for e in EXTREME if family.name != "gaussian" or family.link != "log" or e < 350]
    return (*extreme, -36.9, -37.1, -5.001, -4.999, 3.0, *rng.normal(0.0, 3.0, 8))


def responses(family):
    if family.name == "gaussian":
        return ((-1.3, 1.0), (250.0, 3.0), (0.0, 0.5))
    if family.name == "poisson":
        return ((0.0, 1.0), (3.0, 1.0), (1e9, 1.0), (7.0, 4.0))
    return ((0.0, 1.0), (1.0, 1.0), (3.0, 10.0), (4e8, 1e9))


@pytest.fixture
def many_digits():
    with mp.workdps(560):  # log(1 - 1e-324) and a difference of third order use up the rest
        yield


@pairs
def test_row_functions_against_high_precision(family, many_digits):
    phi = 1.7 if family.dispersion else 1.0
    for y, w in responses(family):
        for eta in etas(family):
            exact = mp_derivatives(family, mp.mpf(y), mp.mpf(w), mp.mpf(eta), mp.mpf(phi))
            found = [
                compiled(family, name)(y, w, eta, phi)
                for name in ("loglik", "score", "curvature", "slope")
            ]
            mu = float(MP_INVERSE[family.link](mp.mpf(eta)))
            for name, want, got in zip(
                ("loglik", "score", "curvature", "slope"), exact, found, strict=True
            ):
                if abs(want) > 1e308:
                    assert np.isinf(got), (name, y, w, eta)
                    continue
                if name == "slope" and w * y > 1e8 and family.link == "probit":
                    scale = float(w)  # terms of successes and failures cancel
                elif family.name in ("binomial", "bernoulli"):
                    scale = 0.0 if y in (0.0, w) else abs(float(w))
                    scale = scale * (abs(eta) + 1.0) if name == "loglik" else scale
                else:
                    scale = _largest_term(family, name, y, w, eta, mu, phi)
                # 1e-300: below it numbers are subnormal and lose digits.
                bound = 2e-12 * abs(float(want)) + 1e-14 * scale + 1e-300
                if name == "slope" and family.name == "binomial":
                    bound += 1e-9 * abs(float(want)) + (1e-15 * w if abs(eta) < 1e-6 else 0.0)
                assert abs(float(want) - got) <= bound, (name, y, w, eta, float(want), got)


def _largest_term(family, name, y, w, eta, mu, phi):
    """Size of the largest term of a sum in which rounding errors arise."""
    if family.name == "gaussian":
        z = (abs(y) + abs(mu)) / phi
        terms = {"loglik": 1.0 + z * z, "score": z * max(abs(mu), 1.0) / phi}
        return w * terms.get(name, z * max(abs(mu), 1.0) / phi)
    if name == "loglik":
        return abs(y * np.log(max(mu, 1e-320))) + w * mu
    if name == "score":
        return (w * mu + y) / (1.0 if family.link == "log" else max(abs(eta), 1e-8))
    return 0.0


@pairs
def test_outside_the_domain_density_is_zero(family):
    loglik = compiled(family, "loglik")
    if family.name == "poisson" and family.link != "log":
        assert loglik(3.0, 1.0, -0.1, 1.0) == loglik(0.0, 1.0, 0.0, 1.0) == -np.inf
    elif family.link in ("log", "cloglog"):
        assert loglik(0.0, 1.0, 800.0, 1.0) == -np.inf
    else:
        assert np.isfinite(loglik(0.0, 1.0, 800.0, 1.0))


@pairs
def test_dispersion_score_is_the_derivative_by_log_phi(family, many_digits):
    y, w = responses(family)[1]
    for eta in (0.4, 2.0):
        want = mp.diff(lambda t, e=eta: mp_loglik(family, y, w, mp.mpf(e), mp.exp(t)), mp.log(1.7))
        got = compiled(family, "dispersion_score")(y, w, eta, 1.7)
        assert got == pytest.approx(float(want) if family.dispersion else 0.0, rel=1e-12)


@pairs
@pytest.mark.parametrize("eta", [0.3, 1.1])
def test_weight_is_the_expected_curvature(family, eta):
    from scipy import stats

    mu = float(family.linkinv(eta))
    weight = compiled(family, "weight")
    if family.name == "gaussian":
        y, p = np.polynomial.hermite_e.hermegauss(20)
        y, p, w = mu + 0.8 * y, p / p.sum(), 1.0
    elif family.name == "poisson":
        y = np.arange(200.0)
        p, w = stats.poisson.pmf(y, mu), 1.0
    else:
        y = np.arange(7.0)
        p, w = stats.binom.pmf(y, 6, mu), 6.0
    expected = sum(
        q * compiled(family, "curvature")(float(v), w, eta, 0.8) for v, q in zip(y, p, strict=True)
    )
    assert weight(2.0, w, eta, 0.8) == pytest.approx(expected, rel=1e-12)
    squared = sum(
        q * compiled(family, "score")(float(v), w, eta, 0.8) ** 2 for v, q in zip(y, p, strict=True)
    )
    assert squared == pytest.approx(expected, rel=1e-12)


def filled(family, mode, eta, y, w, phi):
    out = [np.full(eta.size, np.nan) for _ in range(4)]
    families.bind(family)(mode, eta, y, w, phi, *out)
    return out


OUTPUTS = {
    families.LOGLIK: ("loglik",),
    families.IWLS: ("score", "weight"),
    families.GRADIENT: ("loglik", "score", "dispersion_score"),
    families.FULL: ("loglik", "score", "curvature", "slope"),
    families.CURVATURE: ("score", "curvature"),
}


ROWS = """
import json
import numpy as np
from bayesglmm import families

rng = np.random.default_rng(11)
n = 101
w = rng.integers(1, 5, n).astype(float)
eta = np.abs(rng.normal(0.0, 2.0, n)) + 0.05
y = np.floor(rng.uniform(0, 1, n) * (w + 1.0))
w[7] = y[7] = 0.0
eta[7] = 800.0  # weight 0: nothing, whatever eta is
found = {}
for name, link in families.FAMILIES:
    rows = families.bind(families.get(name, link))
    for mode, outputs in enumerate((1, 2, 3, 4, 2)):
        out = [np.zeros(n) for _ in range(4)]
        with np.errstate(all="ignore"):
            rows(mode, eta, y, w, 1.3, *out)
        found[f"{name} {link} {mode}"] = np.array(out[:outputs]).tolist()
"""


@pytest.mark.skipif(not ENABLED, reason="nothing is compiled")
def test_compiled_rows_are_those_of_plain_python():
    scope = {}
    exec(ROWS, scope)
    compiled, plain = scope["found"], with_compilation_off(ROWS + "print(json.dumps(found))")
    assert compiled.keys() == plain.keys()
    for key, values in compiled.items():
        assert np.array(values) == pytest.approx(np.array(plain[key]), rel=1e-12, abs=1e-13), key
        assert not np.any(np.array(values)[:, 7]), key


@pairs
def test_rows_put_each_function_where_the_table_says(family):
    y, w, eta = np.array([0.0, 1.0]), np.array([2.0, 3.0]), np.array([0.3, 0.9])
    phi = 1.3 if family.dispersion else 1.0
    for mode, names in OUTPUTS.items():
        for name, values in zip(names, filled(family, mode, eta, y, w, phi), strict=False):
            want = [compiled(family, name)(*row, phi) for row in zip(y, w, eta, strict=True)]
            assert values[:2] == pytest.approx(np.array(want), rel=1e-13), name


@pairs
def test_prepared_log_likelihood_is_that_of_scipy(family):
    from scipy import stats

    rng = np.random.default_rng(3)
    n, phi = 12, 0.6 if family.dispersion else 1.0
    eta = rng.uniform(0.2, 1.2, n)
    weights = np.array([1.0, 2.0, 0.0, 3.0] * 3)
    trials = rng.integers(1, 9, n).astype(float) if family.name == "binomial" else None
    y = family.draw(rng, eta, phi, trials)
    mu = family.linkinv(eta)
    logpdf = {
        "gaussian": lambda: stats.norm.logpdf(y, mu, phi),
        "poisson": lambda: stats.poisson.logpmf(y, mu),
        "binomial": lambda: stats.binom.logpmf(y, trials, mu),
    }[family.name]()
    total, w, constant = family.prepare(y, trials, weights)
    rows = filled(family, families.LOGLIK, eta, total, w, phi)[0]
    assert rows.sum() + constant == pytest.approx(weights @ logpdf, rel=1e-12)


@pairs
def test_links_invert_each_other(family):
    mu = np.array([0.02, 0.3, 0.77])
    eta = family.linkfun(mu)
    assert family.linkinv(eta) == pytest.approx(mu, rel=1e-13)
    from bayesglmm.links import get

    step = 1e-6
    slope = (family.linkfun(mu + step) - family.linkfun(mu - step)) / (2 * step)
    assert get(family.link).derivative(mu) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("x", [-1e6, -745.0, -40.0, -5.1, -4.9, -1e-9, 0.0, 2.0, 8.0, 38.0])
def test_log_ndtr(x, many_digits):
    want = float(mp.log(mp.erfc(-mp.mpf(x) / mp.sqrt(2)) / 2)) if x > -1e5 else None
    if want is None:
        from scipy.special import log_ndtr

        want = float(log_ndtr(x))
    assert callable_(_special.log_ndtr)(x) == pytest.approx(want, rel=1e-14)


@pytest.mark.parametrize("x", [0.0, 1e-300, 1e-17, 1e-9, 0.1, 0.41, 0.42, 0.5, 0.99, 1.0])
def test_log1p_unit_and_expm1(x):
    assert callable_(_special.log1p_unit)(x) == pytest.approx(np.log1p(x), rel=6e-16, abs=0.0)
    for signed in (x, -x, 50.0 * x, -50.0 * x):
        assert callable_(_special.expm1)(signed) == pytest.approx(
            np.expm1(signed), rel=8e-16, abs=0.0
        )


def test_unknown_names_list_what_exists():
    with pytest.raises(ValueError, match="poisson"):
        families.get("possion")
    with pytest.raises(ValueError, match="log, identity, sqrt"):
        families.get("poisson", "logit")
    assert families.get("poisson").link == "log"
    assert families.get("bernoulli").link == families.get("binomial").link == "logit"


def test_define_refuses_half_a_dispersion():
    row = families.get("poisson").scalars.loglik
    with pytest.raises(ValueError, match="dispersion"):
        families.define("odd", "log", loglik=row, score=row, weight=row, dispersion="sigma")


@pytest.fixture
def geometric():
    """Number of failures before a success, mean exp(eta): all that a family needs."""
    from bayesglmm._simd import exp, log

    def loglik(y, w, eta, phi):
        return y * eta - (y + w) * log(1.0 + exp(eta))

    def score(y, w, eta, phi):
        return y - (y + w) * exp(eta) / (1.0 + exp(eta))

    def weight(y, w, eta, phi):
        return w * exp(eta) / (1.0 + exp(eta))

    def curvature(y, w, eta, phi):
        return (y + w) * exp(eta) / (1.0 + exp(eta)) ** 2

    yield families.define(
        "geometric", "log", loglik=loglik, score=score, weight=weight, curvature=curvature
    )
    families.FAMILIES.pop(("geometric", "log"))


def test_a_family_from_outside_needs_its_functions_only(geometric):
    from scipy import stats

    y, eta = np.array([0.0, 2.0, 5.0]), np.array([-1.0, 0.3, 1.0])
    loglik, score, curvature, slope = filled(geometric, families.FULL, eta, y, np.ones(3), 1.0)
    assert loglik == pytest.approx(stats.geom.logpmf(y + 1, 1 / (1 + np.exp(eta))), rel=1e-12)
    step = 1e-5
    for low, high, derivative in ((0, 1, score), (1, 2, -curvature), (2, 3, slope)):
        up = filled(geometric, families.FULL, eta + step, y, np.ones(3), 1.0)[low]
        down = filled(geometric, families.FULL, eta - step, y, np.ones(3), 1.0)[low]
        assert (up - down) / (2 * step) == pytest.approx(derivative, rel=1e-6), high
    assert not geometric.packaged
    with pytest.raises(ValueError, match="geometric"):
        geometric.draw(np.random.default_rng(1), eta)


BIND = """
import numpy as np
from bayesglmm import families
hits = []
out = [np.zeros(2) for _ in range(4)]
for name in ("poisson", "gaussian", "binomial"):
    rows = families.bind(families.get(name))
    rows(0, np.zeros(2), np.ones(2), np.ones(2), 1.0, *out)
    hits.append(sum(rows.compiled.stats.cache_hits.values()))
    print(hits[-1], repr(out[0].tolist()))
"""


@pytest.mark.skipif(not ENABLED, reason="nothing is compiled")
def test_a_second_process_loads_compiled_families(tmp_path):
    environment = {**os.environ, "BAYESGLMM_CACHE_DIR": str(tmp_path)}

    def lines():
        run = [sys.executable, "-c", BIND]
        done = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
        return [line.split(maxsplit=1) for line in done.stdout.splitlines()]

    first, second = lines(), lines()
    assert [hits for hits, _ in first] == ["0", "0", "0"]
    assert [hits for hits, _ in second] == ["1", "1", "1"]
    assert [values for _, values in first] == [values for _, values in second]
    assert len({values for _, values in second}) == 3
