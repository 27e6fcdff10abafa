"""Log densities of one row in 50 digits: the terms whose sum it is, and how far ours is off.

An error counts in units of the last place of the largest term: of what a sum in double precision
can keep. Where terms do not cancel, the relative error says the same.
"""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import mpmath as mp
import numpy as np

from bayesglmm import families
from bayesglmm.families import Family

DIGITS = 50
MAX_ULPS, MAX_RELATIVE = 4.0, 1e-12
SUBNORMAL = 1e-290  # nearer to 0, numbers that were subnormal on the way have lost digits
HUGE = 1e300  # of this size a density may be 0: a factor of it overflows before it does

# Pairs that share row functions count once, as the one defined first.
PAIRS = {type(f.marker): f for f in reversed(families.FAMILIES.values()) if f.packaged}.values()

ETAS = (-745.0, -700.0, -100.0, -40.0, -37.0001, -36.9, -8.0, -5.0001, -4.9999, -1.0, -0.3466)
ETAS += (-1e-8, -1e-300, 0.0, 1e-300, 1e-8, 0.1, 0.35, 0.5, 0.6931471805599453, 1.0, 3.0, 8.0)
ETAS += (37.0, 40.0, 100.0, 300.0, 700.0, 709.0)
POSITIVE = (5e-324, 1e-310, 1e-300, 1e-160, 1e-20, 1e-8, 1e-3, 0.5, 1.0, 2.0, 40.0, 709.0)
COUNTS = (0.0, 1.0, 2.0, 7.0, 100.0, 12345.0, 1e6, 1e9)
TRIALS = ((0.0, 1.0), (1.0, 1.0), (0.0, 7.0), (3.0, 7.0), (7.0, 7.0), (999.0, 1000.0))
TRIALS += ((0.0, 1e9), (1.0, 1e9), (5e8, 1e9), (1e9 - 1.0, 1e9), (1e9, 1e9))
SIZES = (1e-8, 1e-4, 0.1, 1.0, 3.0, 7.9999999, 8.0, 30.0, 1e3, 1e4, 1e6, 1e8, 1e10, 1e12, 1e15)
MEASURED = (-1.3, 0.0, 1e-9, 250.0, 1e6)
AMOUNTS = (1e-300, 1e-8, 0.3, 1.0, 1.0000001, 7.0, 1e5, 1e300)
SDS = (1e-6, 0.01, 0.3, 1.0, 1e4)
WEIGHTS = (1.0, 3.0, 0.1, 1e4)


class Point(NamedTuple):
    """A row: response, trials or standard error, weight, linear predictor and dispersion."""

    y: float
    known: float | None
    weight: float
    eta: float
    phi: float


def positive(family: Family) -> bool:
    """Whether eta has to be positive."""
    known = family.name.startswith("gaussian")
    return family.link in ("sqrt", "inverse") or (family.link == "identity" and not known)


def responses(family: Family) -> tuple[tuple[float, float | None], ...]:
    """Responses of the grid, with their trials or standard errors."""
    if family.name in ("binomial", "bernoulli"):
        return TRIALS
    if family.name == "gaussian_se":
        return tuple(itertools.product(MEASURED, SDS))
    if family.name == "gaussian":
        return tuple((y, None) for y in MEASURED)
    return tuple((y, None) for y in (AMOUNTS if family.name == "gamma" else COUNTS))


def dispersions(family: Family) -> tuple[float, ...]:
    """Dispersions of the grid."""
    if family.dispersion is None:
        return (1.0,)
    return SDS if family.name == "gaussian" else SIZES


def grid(family: Family) -> Iterator[Point]:
    """Every extreme with every other."""
    etas = POSITIVE if positive(family) else ETAS
    for (y, known), weight, phi in itertools.product(
        responses(family), WEIGHTS, dispersions(family)
    ):
        yield from (Point(y, known, weight, eta, phi) for eta in etas)
        if family.link == "log" and family.dispersion != "sigma" and known is None and y > 0.0:
            yield Point(y, known, weight, math.log(y), phi)  # where the deviance is 0


def terms(family: Family, point: Point) -> list[mp.mpf]:
    """Terms of the log density of a row, constants included, times its weight."""
    y, w, eta, phi = (mp.mpf(value) for value in (point.y, point.weight, point.eta, point.phi))
    if family.name in ("binomial", "bernoulli"):
        n = mp.mpf(point.known)
        log_p, log_q = _log_chances(family.link, eta)
        made = [y * log_p if y else y, (n - y) * log_q if n > y else mp.mpf(0)]
        if point.weight % 1.0:  # trials times weight are rounded before failures are their rest
            made.append(n * log_q)
            made.append(-n * log_q)
        made += [mp.loggamma(n + 1), -mp.loggamma(y + 1), -mp.loggamma(n - y + 1)]
        return [w * term for term in made]
    mu = {"identity": eta, "log": mp.exp(eta), "sqrt": eta**2, "inverse": 1 / eta if eta else eta}
    mean = mu[family.link]
    if family.name == "poisson":
        made = [y * mp.log(mean) if y else y, -mean, -mp.loggamma(y + 1)]
    elif family.name.startswith("gaussian"):
        sd = phi if point.known is None else mp.mpf(point.known)
        made = [-mp.log(sd), -(((y - mean) / sd) ** 2) / 2, -mp.log(2 * mp.pi) / 2]
    elif family.name == "negative_binomial":
        made = [
            mp.loggamma(y + phi) - mp.loggamma(phi) - y * mp.log(phi),
            y * mp.log(mean) if y else y,
            -(y + phi) * mp.log1p(mean / phi),
            -mp.loggamma(y + 1),
        ]
    else:
        made = [
            phi * mp.log(phi) - mp.loggamma(phi) - phi,
            phi * mp.log(y),
            -phi * mp.log(mean),
            phi - phi * y / mean,
            -mp.log(y),
        ]
    return [w * term for term in made]


def _log_chances(link: str, eta: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
    """Logarithms of p and 1 - p, each from the one that is small."""
    if link == "logit":
        return -mp.log1p(mp.exp(-eta)), -mp.log1p(mp.exp(eta))
    if link == "probit":
        p, q = (mp.erfc(side * eta / mp.sqrt(2)) / 2 for side in (-1, 1))
    else:
        q = mp.exp(-mp.exp(eta))
        p = -mp.expm1(-mp.exp(eta))
    log_p = mp.log(p) if p < q else mp.log1p(-q)
    log_q = -mp.exp(eta) if link == "cloglog" else mp.log(q) if q < p else mp.log1p(-p)
    return log_p, log_q


def ours(family: Family, point: Point) -> float:
    """Log density of a row as a model has it: prepared, by the loop over rows, with constants."""
    known = None if point.known is None else np.array([point.known])
    y, w, constant = family.prepare(np.array([point.y]), known, np.array([point.weight]))
    out = [np.zeros(1) for _ in range(4)]
    families.bind(family)(families.LOGLIK, np.array([point.eta]), y, w, point.phi, *out)
    return float(out[0][0]) + constant


class Error(NamedTuple):
    """How far a log density is off."""

    ulps: float  # of the largest term
    relative: float

    @property
    def good(self) -> bool:
        """Whether it is within the limits."""
        return self.ulps <= MAX_ULPS or self.relative <= MAX_RELATIVE

    @property
    def size(self) -> float:
        """The smaller of the two, as parts of its limit."""
        return min(self.ulps / MAX_ULPS, self.relative / MAX_RELATIVE)


def error(family: Family, point: Point) -> Error:
    """Error of our log density at a point; none where both it and the exact one are 0 densities."""
    with mp.workdps(DIGITS):
        parts = terms(family, point)
        want, largest = mp.fsum(parts), max(abs(part) for part in parts)
        got = ours(family, point)
        if largest > HUGE and got == -math.inf:
            return Error(0.0, 0.0)
        if not math.isfinite(got):
            return Error(math.inf, math.inf)
        off = abs(mp.mpf(got) - want)
        if off < SUBNORMAL:
            return Error(0.0, 0.0)
        ulp = mp.mpf(2) ** (mp.frexp(largest)[1] - 53)
        relative = off / abs(want) if want else mp.inf
        return Error(float(off / ulp), float(relative))
