"""SAS's tables of the model and the sampler: observations, parameters, effects, histories."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import sampling_history
from .listing import Listing
from .wording import shown_levels

if TYPE_CHECKING:
    from .posterior import Posterior


def observations(post: "Posterior") -> Listing:
    """NObs: rows read and used; the sum of frequencies where there are weights."""
    design = post.model.design
    used = len(design.rows)
    labels = ["Number of Observations Read", "Number of Observations Used"]
    read = design.rows_read or used
    counts = [float(read), float(used)]
    if np.any(design.weights != 1.0):
        labels.append("Sum of Frequencies Used")
        counts.append(float(design.weights.sum()))
    columns = {"Label": labels, "N": np.array(counts)}
    return Listing("Number of Observations", columns, {"N": ".10g"})


def parameters(post: "Posterior") -> Listing:
    """Parameters: block, sampling method, initial value and prior of each.

    Initial values are those about which the chains start dispersed: the fit, or the user's.
    """
    blocks, methods = _blocks(post)
    priors = dict(_priors(post))
    start = _start(post)
    columns = {
        "Block": np.array([blocks.get(name, 1) for name in post.names]),
        "Parameter": list(post.names),
        "Sampling Method": [methods.get(name, post.run.sampler) for name in post.names],
        "Initial Value": start,
        "Prior Distribution": [priors[name] for name in post.names],
    }
    return Listing("Parameters", columns, {"Block": "d"})


def random_effects(post: "Posterior") -> Listing:
    """REParameters: a row a term of effects."""
    model = post.model
    _, methods = _blocks(post)
    columns: dict[str, list[Any]] = {
        "Parameter": [],
        "Sampling Method": [],
        "Subject": [],
        "Number of Subjects": [],
        "Subject Values": [],
        "Prior Distribution": [],
    }
    for term in model.design.terms:
        factor = model.design.factors[term.factor]
        several = len(term.names) > 1
        scale = "Sigma" if several and term.correlated else "sd^2"
        row = (
            f"u({', '.join(term.names)}|{factor.name})",
            methods.get(f"u[{factor.name}]", post.run.sampler),
            factor.name,
            len(factor.levels),
            shown_levels(factor.levels),
            f"{'MV' if several else ''}Normal(0, {scale})",
        )
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
    return Listing("Random Effect Parameters", columns, {"Number of Subjects": "d"})


def history(post: "Posterior", phase: str) -> Listing:
    """TuneHistory, BurnInHistory and SampleHistory of a classical run."""
    names = {
        "chain": "Chain",
        "loop": "Phase",
        "block": "Block",
        "method": "Sampling Method",
        "iterations": "Iterations",
        "scale": "Scale",
        "acceptance": "Acceptance Rate",
    }
    records = [
        record
        for record in sampling_history.history_records(post.run.classical or {})
        if record["phase"] == phase
    ]
    columns = {theirs: [record[ours] for record in records] for ours, theirs in names.items()}
    formats = {"Scale": ".4f", "Acceptance Rate": ".4f", "Iterations": "d", "Chain": "d"}
    return Listing(f"{phase} History", columns, {**formats, "Phase": "d"})


def _blocks(post: "Posterior") -> tuple[dict[str, int], dict[str, str]]:
    """Number of the first block that moves each parameter, and the methods of all that do."""
    numbers: dict[str, int] = {}
    methods: dict[str, list[str]] = {}
    held = post.run.classical
    for number, block in enumerate(held["blocks"] if held else (), 1):
        for name in {*block["parameters"], block["block"]}:
            numbers.setdefault(name, number)
            methods.setdefault(name, []).append(block["method"])
    return numbers, {name: " + ".join(used) for name, used in methods.items()}


def _start(post: "Posterior") -> np.ndarray:
    """Parameters at the centre of the chains' starts; nan where it is not known."""
    held = post.resumption
    if held is None:
        return np.full(len(post.names), np.nan)
    recipe = held.recipe
    theta = recipe.map["center"] if recipe.init is None else recipe.init
    values = post.model.to_user(np.asarray(theta)[None, None], None)
    parts = [values["beta"], values["sd"], values["cor"]]
    parts += [values[name][..., None] for name in post.model.names.dispersion]
    return np.asarray(np.concatenate(parts, axis=-1)[0, 0])


def _priors(post: "Posterior") -> Iterator[tuple[str, str]]:
    """Priors of the rows of the tables, as text; those of a whole Sigma at each of its rows."""
    model = post.model
    names, priors = model.names, model.priors
    for name, prior in zip(names.fixed, priors.beta, strict=True):
        at = " at the centred predictors" if name == "Intercept" and priors.centred else ""
        yield name, f"{prior}{at}"
    for term, prior in zip(model.design.terms, priors.terms, strict=True):
        group = model.design.factors[term.factor].name
        sds = prior.sd or [prior.sigma] * len(term.names)
        for name, sd in zip(term.names, sds, strict=True):
            yield f"sd({name}|{group})", f"{sd}"
        for row in names.cor:
            if row.endswith(f"|{group})"):
                yield row, f"{prior.cor or prior.sigma}"
    for name in names.dispersion:
        yield name, priors.dispersion.statement(name).removeprefix(f"{name} ~ ")
