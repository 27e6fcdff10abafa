"""The plan of a classical sweep: methods of each block, what they need, and the best by default."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .conditionals import centring
from .errors import DataError, PriorError
from .priors import (
    Flat,
    GammaPrecision,
    HalfCauchy,
    HalfStudentT,
    InverseGammaVariance,
    Normal,
    Uniform,
)

if TYPE_CHECKING:
    from .density import Data
    from .model import Model

METHODS = {
    "beta": ("random_walk", "iwls", "conjugate", "slice", "centred"),
    "u": ("random_walk", "iwls", "conjugate"),
    "Sigma": ("random_walk", "conjugate", "near_conjugate", "slice", "noncentred"),
    "dispersion": ("random_walk", "conjugate", "slice"),
}
# Priors of an sd under which its square is drawn exactly (`classical_theta.draw_variance`).
EXACT_SDS = (InverseGammaVariance, GammaPrecision, HalfStudentT, HalfCauchy, Flat, Uniform)
GAUSSIAN = ("gaussian", "gaussian_se")
EXACT_NAMES = "InverseGammaVariance, GammaPrecision, HalfStudentT, HalfCauchy, Uniform(0, inf)"


@dataclass(frozen=True)
class Block:
    """One step of a sweep.

    Attributes
    ----------
    label : str
        As tables name it: ``beta``, ``u[subject]``, ``Sigma[subject]``, ``sigma``.
    target : {"beta", "u", "Sigma", "dispersion"}
    method : str
        One of METHODS.
    members : tuple of int
        Coefficients, by their place among the columns.
    which : int
        Factor of effects and of centred coefficients; term of a Sigma.
    parameters : tuple of str
        Rows of the tables that it moves.
    """

    label: str
    target: str
    method: str
    members: tuple[int, ...] = ()
    which: int = 0
    parameters: tuple[str, ...] = ()


class Plan:
    """Blocks as they are chosen one after the other."""

    def __init__(self, model: "Model") -> None:
        self.model = model
        self.columns = model.names.fixed
        self.factors = [factor.name for factor in model.design.factors]
        self.terms = model.design.terms
        self.linear = model.family.name in GAUSSIAN and model.family.link == "identity"
        self.steps: list[Block] = []
        self.taken: set[str] = set()

    def choose(self, names: tuple[str, ...], methods: tuple[str, ...]) -> None:
        """Add the blocks of one entry."""
        if len(names) == 1 and names[0] not in self.columns:
            self._choose_one(names[0], methods)
            return
        for name in names:
            if name not in self.columns:
                raise DataError(
                    f"blocks names {name!r} among coefficients; they are {', '.join(self.columns)}"
                )
        self._coefficients(tuple(self.columns.index(name) for name in names), methods)

    def _choose_one(self, name: str, methods: tuple[str, ...]) -> None:
        kind, _, rest = name.partition("[")
        inside = rest[:-1] if rest.endswith("]") else ""
        if name == "beta":
            self._rest_of_beta(methods)
        elif name == "u" or (kind == "u" and inside in self.factors):
            chosen = [inside] if inside else self.factors
            self._needs_effects(name)
            for factor in chosen:
                self._effects(self.factors.index(factor), methods)
        elif (
            name == "Sigma" or name in self.factors or (kind == "Sigma" and inside in self.factors)
        ):
            self._needs_effects(name)
            own = inside or (name if name in self.factors else "")
            for place, term in enumerate(self.terms):
                if not own or self.factors[term.factor] == own:
                    self._sigma(place, methods)
        elif name in self.model.names.dispersion:
            self._dispersion(methods)
        else:
            raise DataError(f"blocks names {name!r}; there are {', '.join(self._names())}")

    def _names(self) -> list[str]:
        names = ["beta", *self.columns] if self.columns else []
        if self.factors:
            names += ["u", "Sigma"]
            names += [f"{kind}[{f}]" for f in self.factors for kind in ("u", "Sigma")]
        return [*names, *self.model.names.dispersion]

    def _needs_effects(self, name: str) -> None:
        if not self.factors:
            raise DataError(f"blocks names {name!r}, and this model has no random effects")

    def _take(self, what: str) -> None:
        if what in self.taken:
            raise DataError(f"blocks names {what} twice: a block has one entry")
        self.taken.add(what)

    def complete(self) -> None:
        """Add what was not chosen, by methods that need no tuning."""
        if any(f"coefficient {name}" not in self.taken for name in self.columns):
            self._rest_of_beta(None)
        for f, name in enumerate(self.factors):
            if f"u[{name}]" not in self.taken:
                self._effects(f, ("conjugate" if self.linear else "iwls",))
        for place in range(len(self.terms)):
            if self._sigma_label(place) not in self.taken:
                self._sigma(place, (self._best_sigma(place), "noncentred"))
        for name in self.model.names.dispersion:
            if name not in self.taken:
                exact = self._inexact_dispersion() is None
                self._dispersion(("conjugate" if exact else "slice",))

    def _rest_of_beta(self, methods: tuple[str, ...] | None) -> None:
        members = tuple(
            j for j, name in enumerate(self.columns) if f"coefficient {name}" not in self.taken
        )
        if not members:
            raise DataError("blocks names 'beta', and every coefficient has a block of its own")
        if methods is None:
            inside = [j for j in members if self._inexact_coefficient(j) is None]
            exact = self.linear and len(inside) == len(members)
            methods = ("conjugate" if exact else "iwls",)
            if any(self._centred(f, members) for f in range(len(self.factors))):
                methods = (*methods, "centred")
        self._coefficients(members, methods)

    def _coefficients(self, members: tuple[int, ...], methods: tuple[str, ...]) -> None:
        names = tuple(self.columns[j] for j in members)
        for name in names:
            self._take(f"coefficient {name}")
        whole = len(members) == len(self.columns)
        label = "beta" if whole else ", ".join(names)
        moved: set[int] = set()
        for method in methods:
            self._known("beta", label, method)
            if method == "conjugate":
                self._refuse_inexact_beta(label, members)
            if method != "centred":
                moved.update(members)
                self.steps.append(Block(label, "beta", method, members, 0, names))
                continue
            for f, factor in enumerate(self.factors):
                own = self._centred(f, members)
                if own:
                    moved.update(own)
                    rows = tuple(self.columns[j] for j in own)
                    at = f"{label} given u[{factor}]"
                    self.steps.append(Block(at, "beta", method, own, f, rows))
            if not moved:
                raise DataError(
                    f"blocks: no coefficient of {label} can be centred; their columns are not "
                    "constant within the levels of a group"
                )
        if len(moved) < len(members):
            left = ", ".join(self.columns[j] for j in members if j not in moved)
            raise DataError(
                f"blocks: {left} cannot be centred (not constant within the levels of a group) and "
                f"would never move; give {label} another method too, such as ['iwls', 'centred']"
            )

    def _centred(self, f: int, members: tuple[int, ...]) -> tuple[int, ...]:
        columns, _ = centring.within_groups(data_of(self.model.problem.data, f))
        return tuple(j for j in members if j in set(columns.tolist()))

    def _effects(self, f: int, methods: tuple[str, ...]) -> None:
        factor = self.factors[f]
        label = f"u[{factor}]"
        self._take(label)
        columns = [n for t in self.terms if t.factor == f for n in t.names]
        rows = tuple(f"u({name}|{factor})" for name in columns)
        for method in methods:
            self._known("u", label, method)
            if method == "conjugate" and not self.linear:
                raise DataError(
                    f"blocks: {label} is Normal given the rest only where the response is Gaussian "
                    f"with identity link; this is {self._family()}. Take 'iwls' or 'random_walk'"
                )
            self.steps.append(Block(label, "u", method, (), f, rows))

    def _sigma_label(self, place: int) -> str:
        term = self.terms[place]
        factor = self.factors[term.factor]
        alone = sum(t.factor == term.factor for t in self.terms) == 1
        return f"Sigma[{factor}]" if alone else f"Sigma[{', '.join(term.names)}|{factor}]"

    def _sigma(self, place: int, methods: tuple[str, ...]) -> None:
        label, term = self._sigma_label(place), self.terms[place]
        self._take(label)
        factor = self.factors[term.factor]
        rows = [f"sd({name}|{factor})" for name in term.names]
        if term.correlated:
            q = len(term.names)
            pairs = [(term.names[l], term.names[k]) for k in range(q) for l in range(k)]
            rows += [f"cor({a},{b}|{factor})" for a, b in pairs]
        for method in methods:
            self._known("Sigma", label, method)
            reason = self._inexact_sigma(place)
            if method == "conjugate" and reason is not None:
                raise PriorError(
                    f"blocks: {label} has no exact draw given the effects: {reason}. Take "
                    "'near_conjugate', 'slice' or 'random_walk'; or give "
                    f"priors={{{factor!r}: InverseWishart(...)}} or HuangWand"
                    f"{'' if self._matrix(place) else f', or an sd one of {EXACT_NAMES}'}"
                )
            if method == "near_conjugate":
                self._refuse_near(label, place)
            if method == "noncentred" and self._matrix(place) and set(methods) == {method}:
                raise DataError(
                    f"blocks: correlations would never move by 'noncentred'; give {label} another "
                    "method too, such as ['slice', 'noncentred']"
                )
            moved = rows[: len(term.names)] if method == "noncentred" else rows
            self.steps.append(Block(label, "Sigma", method, (), place, tuple(moved)))

    def _matrix(self, place: int) -> bool:
        """Whether a term has correlations."""
        term = self.terms[place]
        return term.correlated and len(term.names) > 1

    def _inexact_sigma(self, place: int) -> str | None:
        """Why Sigma given the effects cannot be drawn exactly, None if it can."""
        prior, term = self.model.priors.terms[place], self.terms[place]
        if prior.sigma is not None:
            return None
        if self._matrix(place):
            return f"its prior is of sds ({prior.sd[0]}) and correlations ({prior.cor})"
        levels = len(self.model.design.factors[term.factor].levels)
        for name, sd in zip(term.names, prior.sd, strict=True):
            reason = _inexact_sd(f"sd({name}|{self.factors[term.factor]})", sd, levels)
            if reason:
                return reason
        return None

    def _near_possible(self, place: int) -> bool:
        prior, term = self.model.priors.terms[place], self.terms[place]
        levels = len(self.model.design.factors[term.factor].levels)
        return prior.sigma is None and levels > (len(term.names) if term.correlated else 1)

    def _refuse_near(self, label: str, place: int) -> None:
        if self._near_possible(place):
            return
        if self.model.priors.terms[place].sigma is not None:
            raise DataError(f"blocks: {label} can be drawn exactly: take 'conjugate'")
        raise DataError(f"blocks: {label} has too few levels for 'near_conjugate'; take 'slice'")

    def _best_sigma(self, place: int) -> str:
        if self._inexact_sigma(place) is None:
            return "conjugate"
        return "near_conjugate" if self._near_possible(place) else "slice"

    def _dispersion(self, methods: tuple[str, ...]) -> None:
        (name,) = self.model.names.dispersion
        self._take(name)
        for method in methods:
            self._known("dispersion", name, method)
            reason = self._inexact_dispersion()
            if method == "conjugate" and reason is not None:
                raise PriorError(
                    f"blocks: {name} has no exact draw given the rest: {reason}. Take 'slice' or "
                    "'random_walk'"
                )
            self.steps.append(Block(name, "dispersion", method, (), 0, (name,)))

    def _inexact_dispersion(self) -> str | None:
        (name,) = self.model.names.dispersion
        if name != "sigma":
            return f"that of a response which is {self._family()} has no conjugate prior"
        rows = int(np.asarray(self.model.problem.data.obs.w).sum())
        return _inexact_sd("sigma", self.model.priors.dispersion, rows)

    def _inexact_coefficient(self, j: int) -> str | None:
        prior = self.model.priors.beta[j]
        return None if isinstance(prior, Normal | Flat) else f"{self.columns[j]} ~ {prior}"

    def _refuse_inexact_beta(self, label: str, members: tuple[int, ...]) -> None:
        if not self.linear:
            raise DataError(
                f"blocks: {label} is Normal given the rest only where the response is Gaussian "
                f"with identity link; this is {self._family()}. Take 'iwls' or 'random_walk'"
            )
        for j in members:
            reason = self._inexact_coefficient(j)
            if reason:
                raise PriorError(
                    f"blocks: {label} has no exact draw given the rest: {reason}. Take 'iwls', or "
                    "a Normal or Flat prior"
                )

    def _family(self) -> str:
        return f"{self.model.family.name} with {self.model.family.link} link"

    def _known(self, target: str, label: str, method: str) -> None:
        if method not in METHODS[target]:
            raise DataError(
                f"blocks: {label} has no method {method!r}; it has {', '.join(METHODS[target])}"
            )


def _inexact_sd(name: str, prior: Any, count: int) -> str | None:
    """Why an sd's square cannot be drawn exactly given `count` normals, None if it can."""
    flat = isinstance(prior, Flat) or (
        isinstance(prior, Uniform) and prior.low <= 0.0 and prior.high == np.inf
    )
    if not isinstance(prior, EXACT_SDS) or (isinstance(prior, Uniform) and not flat):
        return f"{name} ~ {prior}"
    if flat and count < 2:
        return f"{name} ~ {prior} with {count} level"
    return None


def data_of(data: "Data", f: int) -> "Data":
    """Return the data of one factor alone, rows as they are."""
    own = np.flatnonzero(data.factor == f)
    return data._replace(
        obs=data.obs._replace(Z=data.obs.Z[own]),
        level=data.level[f : f + 1],
        levels=data.levels[f : f + 1],
        factor=np.zeros(own.size, dtype=np.int64),
    )
