"""The table of families: ``define`` writes it, ``get`` reads it, compiled code dispatches on it.

A family-link pair is known to compiled code by its marker, a NamedTuple without fields whose class
is its type. ``loglik(marker, ...)`` and the others below find the pair's scalar functions by that
type while a caller is compiled, so that they are inlined into its loops.
"""

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import links
from .._jit import overload, simd

Array = NDArray[np.float64]
Prepared = tuple[Array, Array, float]

SLOPE_STEP = 6e-6  # cube root of the rounding unit: the best step of a central difference


class Scalars(NamedTuple):
    """The compiled functions of one row, each ``f(y, w, eta, phi) -> float``."""

    loglik: Any
    score: Any
    weight: Any
    curvature: Any
    slope: Any
    dispersion_score: Any


@dataclass(frozen=True)
class Family:
    """A distribution of the response with its link.

    Attributes
    ----------
    name, link : str
        ``"poisson"``, ``"log"``.
    dispersion : str or None
        Name of the dispersion parameter phi, None if there is none.
    marker : NamedTuple
        What compiled code knows the pair by.
    prepare : callable
        ``prepare(y, trials, weights) -> (y, w, constant)``: the sufficient form the row functions
        take, and the sum of the terms of the log-likelihood that depend on data only.
    draw : callable or None
        ``draw(rng, mu, phi, trials)``: simulated responses at the mean mu (a proportion for
        counts of trials), with a numpy Generator.
    """

    name: str
    link: str
    dispersion: str | None
    marker: Any
    prepare: Callable[[Array, Array | None, Array], Prepared]
    simulate: Callable[..., Array] | None

    def linkfun(self, mu: Any) -> Array:
        """Linear predictor of a mean."""
        return links.get(self.link).link(mu)

    def linkinv(self, eta: Any) -> Array:
        """Mean at a linear predictor."""
        return links.get(self.link).inverse(eta)

    @property
    def scalars(self) -> Scalars:
        """The functions of one row."""
        return SCALARS[type(self.marker)]

    @property
    def packaged(self) -> bool:
        """Whether the family belongs to this package: only its own compiled code is cached."""
        return type(self.marker).__module__.startswith(__package__ + ".")

    def draw(self, rng: Any, eta: Any, phi: float = 1.0, trials: Any = None) -> Array:
        """Simulate responses.

        Parameters
        ----------
        rng : numpy.random.Generator
        eta : array
            Linear predictor.
        phi : float
            Dispersion on its natural scale.
        trials : array, optional
            Numbers of trials, 1 if not given.
        """
        if self.simulate is None:
            raise ValueError(f"family {self.name!r} was defined without a way to draw from it")
        return np.asarray(self.simulate(rng, self.linkinv(eta), phi, trials), dtype=np.float64)


FAMILIES: dict[tuple[str, str], Family] = {}
DEFAULT_LINKS: dict[str, str] = {}
SCALARS: dict[type, Scalars] = {}


def weighted(y: Array, trials: Array | None, weights: Array) -> Prepared:
    """Keep responses and weights as they are: the sufficient form that fits every family."""
    return y.copy(), weights.copy(), 0.0


@simd
def _no_dispersion(y, w, eta, phi):
    return 0.0


def _difference(curvature: Any) -> Any:
    @simd
    def slope(y, w, eta, phi):
        step = SLOPE_STEP * (1.0 + abs(eta))
        above, below = eta + step, eta - step
        return (curvature(y, w, above, phi) - curvature(y, w, below, phi)) / (above - below)

    return slope


def _compiled(function: Any) -> Any:
    return function if hasattr(function, "py_func") else simd(function)


def define(
    name: str,
    link: str,
    *,
    loglik: Callable[..., float],
    score: Callable[..., float],
    weight: Callable[..., float],
    curvature: Callable[..., float] | None = None,
    slope: Callable[..., float] | None = None,
    dispersion_score: Callable[..., float] | None = None,
    dispersion: str | None = None,
    prepare: Callable[[Array, Array | None, Array], Prepared] = weighted,
    draw: Callable[..., Array] | None = None,
    marker: type | None = None,
) -> Family:
    """Define a family with its link; the last line of the file it concerns.

    All row functions are scalar, ``f(y, w, eta, phi) -> float``, plain Python that numba compiles:
    y the prepared response, w its weight, eta the linear predictor, phi the dispersion (1 where
    there is none). Rows of weight 0 are left out by the caller.

    Parameters
    ----------
    name, link : str
        The first link defined for a name is its default.
    loglik : callable
        Log-likelihood of a row; terms of data alone may be left to ``prepare``. -inf where eta is
        outside the link's domain, never clipped.
    score : callable
        d loglik / d eta.
    weight : callable
        Fisher (expected) curvature, positive.
    curvature : callable, optional
        Observed curvature, - d2 loglik / d eta2; the Fisher one if not given, which is right for
        canonical links.
    slope : callable, optional
        d curvature / d eta; a central difference if not given.
    dispersion_score : callable, optional
        d loglik / d log(phi); needed if there is a dispersion.
    dispersion : str, optional
        Name of the dispersion parameter.
    prepare : callable, optional
        ``prepare(y, trials, weights) -> (y, w, constant)``.
    draw : callable, optional
        ``draw(rng, mu, phi, trials)`` simulates responses.
    marker : type, optional
        Class of the marker; the package's own families name one so that their code is cached.

    Raises
    ------
    ValueError
        If the link is unknown, or a dispersion comes without its score.
    """
    links.get(link)
    if (dispersion is None) != (dispersion_score is None):
        raise ValueError(f"family {name!r}: give both dispersion and dispersion_score, or neither")
    kind: Any = marker or namedtuple(f"{name}_{link}", (), module="user")
    curvature = _compiled(curvature or weight)
    SCALARS[kind] = Scalars(
        _compiled(loglik),
        _compiled(score),
        _compiled(weight),
        curvature,
        _compiled(slope or _difference(curvature)),
        _compiled(dispersion_score or _no_dispersion),
    )
    return register(Family(name, link, dispersion, kind(), prepare, draw))


def register(family: Family) -> Family:
    """List a family under its name and link."""
    FAMILIES[family.name, family.link] = family
    DEFAULT_LINKS.setdefault(family.name, family.link)
    return family


def get(name: str, link: str | None = None) -> Family:
    """Look a family up.

    Parameters
    ----------
    name : str
    link : str, optional
        The family's default link if not given.

    Raises
    ------
    ValueError
        If there is no such family, or it does not have this link.
    """
    if name not in DEFAULT_LINKS:
        raise ValueError(f"unknown family {name!r}; there are {', '.join(DEFAULT_LINKS)}")
    link = DEFAULT_LINKS[name] if link is None else link
    if (name, link) not in FAMILIES:
        offered = ", ".join(l for n, l in FAMILIES if n == name)
        raise ValueError(f"family {name!r} has no link {link!r}; its links are {offered}")
    return FAMILIES[name, link]


def _dispatched(field: str) -> Callable[..., float]:
    """Make the function that finds one of a pair's scalar functions by its marker."""

    def call(marker: Any, y: float, w: float, eta: float, phi: float) -> float:
        return getattr(SCALARS[type(marker)], field)(y, w, eta, phi)

    def resolve(marker, y, w, eta, phi):
        function = getattr(SCALARS[marker.instance_class], field)
        return lambda marker, y, w, eta, phi: function(y, w, eta, phi)

    # Inlined, or a loop over rows that calls it does not vectorize.
    overload(call, jit_options={"forceinline": True})(resolve)
    return call


loglik = _dispatched("loglik")
score = _dispatched("score")
weight = _dispatched("weight")
curvature = _dispatched("curvature")
slope = _dispatched("slope")
dispersion_score = _dispatched("dispersion_score")
