"""Row functions against arithmetic of many digits, and loops over rows against row functions."""

import os
import subprocess
import sys
from functools import cache

import mpmath as mp
import numpy as np
import pytest
from kernels import callable_, with_compilation_off

from bayesglmm import _special, families
from bayesglmm._jit import ENABLED

GAUSSIAN = ("gaussian", "gaussian_se")
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
    "inverse": lambda eta: 1 / eta,
}
# 1 - p, where p rounds to 1.
MP_FAILURE = {
    "logit": lambda eta: 1 / (1 + mp.exp(eta)),
    "probit": lambda eta: mp.erfc(eta / mp.sqrt(2)) / 2,
    "cloglog": lambda eta: mp.exp(-mp.exp(eta)),
}


@cache
def mp_log_gamma(x):
    return mp.loggamma(x)


def mp_loglik(family, y, w, eta, phi):
    mu = MP_INVERSE[family.link](eta)
    if family.name == "negative_binomial":
        rising = mp_log_gamma(y + phi) - mp_log_gamma(phi)
        return w * (rising + y * mp.log(mu) + phi * mp.log(phi) - (y + phi) * mp.log(phi + mu))
    if family.name == "gamma":  # y is the logarithm of the response
        return w * (phi * (mp.log(phi) + y - mp.log(mu) - mp.exp(y) / mu) - mp_log_gamma(phi))
    if family.name in GAUSSIAN:
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


def positive(family):
    """Whether eta has to be positive."""
    identity = family.link == "identity" and family.name not in GAUSSIAN
    return identity or family.link in ("sqrt", "inverse")


def etas(family):
    rng = np.random.default_rng(5)
    if positive(family):
        return (1e-8, 1e-3, 0.7, 40.0, 709.0, *rng.exponential(3.0, 8))
    # e^(2 eta) of the Gaussian log link, and its square, stay finite below 350.
    extreme = [e for e in EXTREME if family.name not in GAUSSIAN or family.link != "log" or e < 350]
    return (*extreme, -36.9, -37.1, -5.001, -4.999, 3.0, *rng.normal(0.0, 3.0, 8))


def responses(family):
    if family.name in GAUSSIAN:
        return ((-1.3, 1.0), (250.0, 3.0), (0.0, 0.5))
    if family.name == "gamma":
        return ((-1.3, 1.0), (0.0, 3.0), (6.0, 0.5))
    if family.name in ("poisson", "negative_binomial"):
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
    if family.name in GAUSSIAN:
        z = (abs(y) + abs(mu)) / phi
        terms = {"loglik": 1.0 + z * z, "score": z * max(abs(mu), 1.0) / phi}
        return w * terms.get(name, z * max(abs(mu), 1.0) / phi)
    if family.name == "gamma":
        # What rounding of the two logarithms does to t = y - log(mu).
        t = y - (eta if family.link == "log" else np.log(mu))
        blur = (abs(y) + abs(y - t) + 1.0) * phi
        if name == "loglik":
            return w * blur * min(np.exp(t) + 1.0, 1e300)
        return w * blur * min(np.exp(t), 1e300) * (1.0 if family.link == "log" else 1.0 / eta)
    if family.name == "negative_binomial":
        ratio = mu / phi
        if name == "loglik":
            return w * (y + phi) * (abs(np.log(phi)) + abs(np.log(max(mu, 1e-320))) + 1.0)
        if family.link == "log":
            return w * (y + mu) / (1.0 + ratio) if np.isfinite(mu) else w * phi
        power = {"score": 1, "curvature": 2, "slope": 3}[name]
        return 12.0 * w * (y + phi + mu) / (min(eta, phi + eta) ** power)
    if name == "loglik":
        return abs(y * np.log(max(mu, 1e-320))) + w * mu
    if name == "score":
        return (w * mu + y) / (1.0 if family.link == "log" else max(abs(eta), 1e-8))
    return 0.0


@pairs
def test_outside_the_domain_density_is_zero(family):
    loglik = compiled(family, "loglik")
    if positive(family):
        assert loglik(3.0, 1.0, -0.1, 1.0) == loglik(0.0, 1.0, 0.0, 1.0) == -np.inf
    elif family.name == "gamma":
        assert loglik(0.0, 1.0, -800.0, 1.0) == -np.inf
    elif family.name == "negative_binomial":
        assert loglik(0.0, 1.0, 800.0, 2.0) == pytest.approx(-2.0 * (800.0 - np.log(2.0)))
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
    from scipy import special, stats

    mu = float(family.linkinv(eta))
    weight = compiled(family, "weight")
    if family.name in GAUSSIAN:
        y, p = np.polynomial.hermite_e.hermegauss(20)
        y, p, w = mu + 0.8 * y, p / p.sum(), 1.0
    elif family.name == "poisson":
        y = np.arange(200.0)
        p, w = stats.poisson.pmf(y, mu), 1.0
    elif family.name == "negative_binomial":
        y = np.arange(400.0)
        p, w = stats.nbinom.pmf(y, 0.8, 0.8 / (0.8 + mu)), 1.0
    elif family.name == "gamma":
        y, p = special.roots_genlaguerre(20, 0.8 - 1.0)
        y, p, w = np.log(mu * y / 0.8), p / p.sum(), 1.0
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
        "gaussian_se": lambda: stats.norm.logpdf(y, mu, 1.0),
        "poisson": lambda: stats.poisson.logpmf(y, mu),
        "negative_binomial": lambda: stats.nbinom.logpmf(y, phi, phi / (phi + mu)),
        "gamma": lambda: stats.gamma.logpdf(y, phi, scale=mu / phi),
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


SIZES = (1e-8, 1e-3, 0.3, 1.0, 7.999, 8.0, 40.0, 1e4, 1e8, 1e12, 1e15)
COUNTS = (0.0, 1.0, 2.0, 9.0, 1e3, 1e9)


@pytest.mark.parametrize("size", SIZES)
def test_log_gamma_differences(size):
    """Small where the gamma function is large: relative to their own size, but for y = 1."""
    with mp.workdps(60):
        x = mp.mpf(size)
        for y in map(mp.mpf, COUNTS):
            rising = mp.loggamma(y + x) - mp.loggamma(x) - y * mp.log(x)
            slope = x * (mp.digamma(y + x) - mp.digamma(x)) - y
            for function, want in (
                (_special.log_rising, rising),
                (_special.log_rising_slope, slope),
            ):
                got = callable_(function)(float(y), size)
                error = abs(got - want)
                assert error <= 2e-14 * (abs(want) + 1.0 / max(size, 1.0)), (y, size)
        gap = x * mp.log(x) - x - mp.loggamma(x)
        slope = x * (mp.log(x) - mp.digamma(x))
        assert callable_(_special.log_gamma_gap)(size) == pytest.approx(float(gap), rel=4e-15)
        assert callable_(_special.log_gamma_gap_slope)(size) == pytest.approx(
            float(slope), rel=4e-15
        )


@pytest.mark.parametrize("name", ["negative_binomial", "gamma"])
@pytest.mark.parametrize("phi", SIZES)
def test_extreme_dispersion_loses_no_digits(name, phi):
    """Log-likelihood and its derivative by log phi; relative to what is left in the limit."""
    family = families.get(name)
    cases = [(0.0, 0.0), (3.0, 1.2), (3.0, -20.0), (1e3, 6.9), (1e9, 20.0), (2.0, 600.0)]
    if name == "gamma":  # logarithms of response and mean
        cases = [(0.0, 0.0), (3.0, 3.1), (-7.0, -9.0), (12.5, 12.5 + 1e-6), (0.3, 40.0)]
    with mp.workdps(80):
        for y, eta in cases:
            rates = [mp.mpf(y), mp.mpf(eta), mp.mpf(phi)]
            want = mp_loglik(family, rates[0], 1, rates[1], rates[2])
            slope = mp.diff(
                lambda t, a=rates[0], b=rates[1]: mp_loglik(family, a, 1, b, mp.exp(t)),
                mp.log(rates[2]),
            )
            got = compiled(family, "loglik")(y, 1.0, eta, phi)
            d = compiled(family, "dispersion_score")(y, 1.0, eta, phi)
            mu = float(mp.exp(eta))
            if name == "negative_binomial":
                scale = y * (abs(eta) + abs(np.log(phi)) + 1.0) + min(mu, phi * 700.0)
                # As phi grows the derivative falls like 1 / phi, and so do its errors.
                small = min((y * y + mu * mu) / phi, (y + phi) * (1.0 + abs(eta - np.log(phi))))
            else:
                t = abs(y - eta)
                blur = (abs(y) + abs(eta)) * abs(np.expm1(y - eta))
                scale = phi * (np.exp(y - eta) + t + blur) + abs(np.log(phi)) + 1.0
                small = scale
            assert abs(got - want) <= 1e-14 * scale + 1e-15, (y, eta)
            assert abs(d - slope) <= 1e-13 * small + 1e-15 / max(phi, 1.0), (y, eta)


@pytest.mark.parametrize("size", [1e9, 1e15])
def test_large_size_is_the_poisson_family(size):
    rng = np.random.default_rng(8)
    y, eta, w = rng.poisson(4.0, 20) * 1.0, rng.normal(1.0, 0.5, 20), rng.integers(1, 4, 20) * 1.0
    poisson, binomial = families.get("poisson"), families.get("negative_binomial")
    ours = filled(binomial, families.FULL, eta, y, w, size)
    known = filled(poisson, families.FULL, eta, y * w, w, 1.0)
    for got, want in zip(ours, known, strict=True):
        np.testing.assert_allclose(got, want, rtol=300.0 / size + 1e-14, atol=100.0 / size + 1e-14)


@pytest.mark.parametrize("x", [1e-300, 1e-17, 1e-9, 0.1, 0.41, 0.42, 0.5, 0.99, 3.0, 1e5, 1e17])
def test_logarithms_and_exponentials_less_their_argument(x):
    with mp.workdps(400):
        exact = mp.mpf(x)
        near = mp.log1p(exact)
        assert callable_(_special.log1p_positive)(x) == pytest.approx(float(near), rel=8e-16)
        assert callable_(_special.log1pmx)(x) == pytest.approx(float(near - exact), rel=5e-15)
        for signed in (x, -x) if x < 600.0 else (-x,):
            want = float(mp.expm1(mp.mpf(signed)) - mp.mpf(signed))
            assert callable_(_special.expm1mx)(signed) == pytest.approx(want, rel=5e-15, abs=1e-307)


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
