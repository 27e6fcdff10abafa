"""Which sampler a model gets, and why."""

from typing import TYPE_CHECKING, NamedTuple

from .errors import DataError

if TYPE_CHECKING:
    from .model import Model

SAMPLERS = ("auto", "gibbs", "nuts", "hmc")


class Plan(NamedTuple):
    """The sampler of a model, and why."""

    sampler: str
    reason: str


def choose(model: "Model", sampler: str = "auto") -> Plan:
    """Pick the sampler of a model.

    Raises
    ------
    DataError
        For a sampler that does not exist, or that the model's structure rules out.
    """
    if sampler not in SAMPLERS:
        raise DataError(f"sampler {sampler!r} does not exist; there are {', '.join(SAMPLERS)}")
    factors = [f.name for f in model.design.factors]
    if sampler == "gibbs" and len(factors) != 1:
        what = "no grouping factor" if not factors else f"{len(factors)} grouping factors"
        raise DataError(
            f"sampler='gibbs' is for one grouping factor; this model has {what}. "
            "Use sampler='nuts' or 'auto'."
        )
    if sampler != "auto":
        return Plan(sampler, "asked for")
    if len(factors) == 1:
        return Plan("gibbs", f"one grouping factor ({factors[0]})")
    if not factors:
        return Plan("nuts", "no random effects")
    return Plan("nuts", f"several grouping factors ({', '.join(factors)})")
