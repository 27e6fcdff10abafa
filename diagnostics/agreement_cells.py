"""Small simulated models of every family, link and structure, with explicit priors.

Responses are drawn from the model itself, at effects of moderate size in the units of the link, by
seeds that depend on the names alone: a cell is the same data set on every machine.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import bayesglmm as bg
from bayesglmm import families
from bayesglmm.model import Model

GROUPS, SIZE = 30, 10  # levels of g, rows of each
OTHERS = 12  # levels of h, crossed with g
CLASSES = 3  # levels of b within each level of a
MANY = 20  # coefficients of the structure with many of them


class Kind(NamedTuple):
    """A family with its link, and sizes in the units of the link."""

    family: str
    link: str
    base: float  # intercept
    unit: float  # sd of the intercepts of g is .8 of it
    phi: float = 1.0
    left: str = "y"

    @property
    def name(self) -> str:
        """Family, link, and what else tells it apart."""
        return f"{self.family} {self.link}" + (" se" if "se(" in self.left else "")


KINDS = (
    Kind("gaussian", "identity", 1.0, 1.0, 0.8),
    Kind("gaussian", "log", 1.0, 0.3, 0.5),
    Kind("gaussian", "identity", 1.0, 1.0, left="y | se(s)"),
    Kind("bernoulli", "logit", 0.3, 1.2),
    Kind("bernoulli", "probit", 0.2, 0.7),
    Kind("bernoulli", "cloglog", -0.4, 0.7),
    Kind("binomial", "logit", 0.3, 0.8, left="y | trials(m)"),
    Kind("binomial", "probit", 0.2, 0.5, left="y | trials(m)"),
    Kind("binomial", "cloglog", -0.4, 0.5, left="y | trials(m)"),
    Kind("poisson", "log", 0.8, 0.5),
    Kind("poisson", "identity", 9.0, 1.2),
    Kind("poisson", "sqrt", 3.0, 0.4),
    Kind("negative_binomial", "log", 1.2, 0.5, 2.0),
    Kind("negative_binomial", "identity", 9.0, 1.5, 5.0),
    Kind("negative_binomial", "sqrt", 3.0, 0.4, 5.0),
    Kind("gamma", "log", 0.5, 0.4, 4.0),
    Kind("gamma", "inverse", 2.0, 0.22, 4.0),
    Kind("gamma", "identity", 3.0, 0.35, 4.0),
)


class Structure(NamedTuple):
    """Random effects, the prior of g's Sigma if it is not sds (and correlations), families."""

    name: str
    terms: str
    sigma: Callable[[float], dict[str, Any]] = lambda unit: {}
    only: tuple[str, ...] = ()


def _wishart(q: int) -> Callable[[float], dict[str, Any]]:
    return lambda unit: {"g": bg.InverseWishart(q + 3, (0.8 * unit**2 * np.eye(q)).tolist())}


def _huang_wand(unit: float) -> dict[str, Any]:
    return {"g": bg.HuangWand(unit)}


COUNTS = ("poisson", "binomial")  # whose dispersion an effect of each row stands for
STRUCTURES = (
    Structure("1|g", "x + w + (1|g)"),
    Structure("x|g", "x + w + (x|g)"),
    Structure("x||g", "x + w + (x||g)"),
    Structure("x|g inverse-Wishart", "x + w + (x|g)", _wishart(2)),
    Structure("x|g Huang-Wand", "x + w + (x|g)", _huang_wand),
    Structure("two terms on g", "x + w + (1|g) + (0 + x|g)"),
    Structure("x + w|g (q = 3)", "x + w + (x + w|g)"),
    Structure("p = 20", " + ".join(f"c{k}" for k in range(1, MANY)) + " + (1|g)"),
    Structure("crossed", "x + w + (1|g) + (1|h)"),
    Structure("crossed, slope", "x + w + (x|g) + (1|h)"),
    Structure("nested a/b", "x + w + (1|a/b)"),
    Structure("1|row", "x + w + (1|row)", only=COUNTS),
    Structure("1|g, 1|row", "x + w + (1|g) + (1|row)", only=COUNTS),
    Structure("no effects", "x + w"),
)


class Cell(NamedTuple):
    """A kind of response with a structure."""

    kind: Kind
    structure: Structure
    groups: int = GROUPS
    size: int = SIZE

    @property
    def name(self) -> str:
        """What the cell is known by, and its data simulated from."""
        return f"{self.kind.name}, {self.structure.name}"

    def frame(self) -> dict[str, np.ndarray]:
        """Rows of all factors, with responses simulated from this model."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        n = self.groups * self.size
        row = np.arange(n)
        g, h = row // self.size, rng.integers(OTHERS, size=n)
        a = g // CLASSES
        f = {"g": g, "h": h, "a": a, "b": g % CLASSES, "row": row}
        columns = rng.normal(size=(MANY, n))
        f |= {"x": np.clip(columns[0], -2, 2), "w": np.clip(columns[1], -2, 2)}
        f |= {f"c{k}": columns[k] for k in range(1, MANY)}
        f |= {"m": rng.integers(1, 9, size=n), "s": rng.uniform(0.5, 1.5, size=n)}

        def effects(size: float, index: np.ndarray) -> np.ndarray:
            return size * rng.normal(size=int(index.max()) + 1)[index]

        eta, terms = np.zeros(n), self.structure.terms
        if "c1" in terms:
            eta += 0.1 * rng.normal(size=MANY - 1) @ columns[1:]
        else:
            eta += 0.3 * f["x"] - 0.2 * f["w"]
        for term, size, index, z in (
            ("|a", 0.6, a, 1.0),
            ("|a/b", 0.4, g, 1.0),
            ("|g", 0.8, g, 1.0),
            ("x|g", 0.4, g, f["x"]),
            ("x||g", 0.4, g, f["x"]),
            ("x + w|g", 0.4, g, f["x"]),
            ("w|g", 0.3, g, f["w"]),
            ("|h", 0.5, h, 1.0),
            ("|row", 0.4, row, 1.0),
        ):
            if term in terms:
                eta += effects(size, index) * z
        kind = self.kind
        eta = kind.base + kind.unit * eta
        family = families.get(kind.family + ("_se" if "se(" in kind.left else ""), kind.link)
        known = f["s"] if "se(" in kind.left else f["m"] if "trials(" in kind.left else None
        return f | {"y": family.draw(rng, eta, kind.phi, known)}

    def model(self) -> Model:
        """Return the model, its priors in numbers."""
        kind, unit = self.kind, self.kind.unit
        priors = {
            "Intercept": bg.Normal(kind.base, 2.0 * unit),
            "b": bg.Normal(0.0, unit),
            **self.structure.sigma(unit),
        }
        if "|" in self.structure.terms:
            priors["sd"] = bg.HalfStudentT(3, unit)
        if {"g"} & priors.keys() == set() and "(x|g)" in self.structure.terms:
            priors["cor"] = bg.LKJ(2)
        if kind.family == "gaussian" and "se(" not in kind.left:
            priors["sigma"] = bg.HalfNormal(2.0)
        elif kind.family in ("negative_binomial", "gamma"):
            name = "size" if kind.family == "negative_binomial" else "shape"
            priors[name] = bg.InverseSqrt(bg.HalfNormal(1.0))
        formula = f"{kind.left} ~ {self.structure.terms}"
        return bg.glmm(formula, self.frame(), kind.family, link=kind.link, priors=priors)


def cells() -> Iterator[Cell]:
    """All kinds of responses by all structures that go with them."""
    for kind in KINDS:
        for structure in STRUCTURES:
            if not structure.only or kind.family in structure.only:
                yield Cell(kind, structure)
