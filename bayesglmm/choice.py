"""Which sampler a model gets, and why."""

from typing import TYPE_CHECKING, NamedTuple

from . import collapsed_cost
from .errors import DataError
from .priors import Flat, Normal

if TYPE_CHECKING:
    from .model import Model

SAMPLERS = ("auto", "gibbs", "collapsed", "classical", "nuts", "hmc")


class Plan(NamedTuple):
    """The sampler of a model, and why."""

    sampler: str
    reason: str


def choose(model: "Model", sampler: str = "auto", blocks: bool = False) -> Plan:
    """Pick the sampler of a model; `blocks` says whether the user chose blocks.

    Raises
    ------
    DataError
        For a sampler that does not exist, or that the model's structure rules out.
    """
    if sampler not in SAMPLERS:
        raise DataError(f"sampler {sampler!r} does not exist; there are {', '.join(SAMPLERS)}")
    factors = [f.name for f in model.design.factors]
    if blocks:
        if sampler not in ("auto", "classical"):
            raise DataError(f"blocks are of sampler='classical', and sampler={sampler!r} has none")
        return Plan("classical", "blocks were chosen")
    if sampler == "gibbs" and not factors:
        raise DataError(
            "sampler='gibbs' is for grouping factors; this model has no grouping factor. "
            "Use sampler='nuts' or 'auto'."
        )
    if sampler == "collapsed":
        why = _not_collapsed(model) or collapsed_cost.too_large(model)
        if why:
            raise DataError(
                f"sampler='collapsed' is for Gaussian models with identity link and Normal or flat "
                f"priors of the coefficients; {why}. Use sampler='nuts' or 'auto'."
            )
    if sampler != "auto":
        return Plan(sampler, "asked for")
    if _not_collapsed(model):
        return _by_factors(factors)
    dear = collapsed_cost.too_dear(model)
    if not dear:
        return Plan("collapsed", "Gaussian: coefficients and effects can be integrated out")
    other = _by_factors(factors)
    return other._replace(reason=f"{other.reason}; {dear}")


def _by_factors(factors: list[str]) -> Plan:
    """Pick the sampler by the number of grouping factors."""
    if not factors:
        return Plan("nuts", "no random effects")
    if len(factors) == 1:
        return Plan("gibbs", f"one grouping factor ({factors[0]})")
    return Plan("gibbs", f"several grouping factors, one after the other ({', '.join(factors)})")


def _not_collapsed(model: "Model") -> str:
    """Why coefficients and effects cannot be integrated out; empty if they can."""
    family = model.family
    if not (family.name in ("gaussian", "gaussian_se") and family.link == "identity"):
        return f"this one is {family.name} with link {family.link}"
    for name, prior in zip(model.design.columns, model.priors.beta, strict=True):
        if not isinstance(prior, Flat | Normal):
            return f"that of {name} is {prior}"
    return ""
