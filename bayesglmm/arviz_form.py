"""The posterior as ArviZ knows it: groups of variables with named dims and coords."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .posterior import groups

if TYPE_CHECKING:
    import xarray

    from .model import Model
    from .posterior import Posterior

# ArviZ's names of the sampler statistics that it knows.
STATS = {
    "accept": "acceptance_rate",
    "divergent": "diverging",
    "depth": "tree_depth",
    "max_depth": "reached_max_treedepth",
    "steps": "n_steps",
    "logdensity": "lp",
}
FLAGS = {"divergent", "max_depth"}  # statistics that are true or false
# Names of variables and dims that a factor or a response may not take over.
TAKEN = {"chain", "draw", "row", "coefficient", "beta", "sd", "cor", "sigma"}
SLASH = "\N{DIVISION SLASH}"  # netCDF and DataTree take "/" as the separator of paths
SAMPLED = ["chain", "draw"]


@dataclass
class Groups:
    """Variables by group, as (dims, values), and the coords that the dims refer to."""

    coords: dict[str, Any]
    variables: dict[str, dict[str, tuple[list[str], np.ndarray]]] = field(default_factory=dict)

    def add(self, group: str, name: str, dims: list[str], values: np.ndarray) -> None:
        """Add a variable with all its dims."""
        self.variables.setdefault(group, {})[name] = (dims, values)


def own_name(name: str) -> str:
    """Return a column's name as the name of a variable or a dim: its own where that is free."""
    name = name.replace("/", SLASH)
    return f"{name}_column" if name in TAKEN else name


def layout(post: "Posterior") -> Groups:
    """Return posterior, sample statistics and data of a posterior as named variables."""
    design, names, values = post.model.design, post.model.names, post.values
    out = Groups(
        {
            "chain": np.arange(post.chains),
            "draw": np.arange(post.draws),
            "row": np.asarray(design.rows),
            "coefficient": list(names.fixed),
        }
    )
    out.add("posterior", "beta", [*SAMPLED, "coefficient"], values["beta"])
    for kind, rows in (("sd", names.sd), ("cor", names.cor)):
        if rows:
            out.coords[f"{kind}_name"] = list(rows)
            out.add("posterior", kind, [*SAMPLED, f"{kind}_name"], values[kind])
    for name in names.dispersion:
        out.add("posterior", name, SAMPLED, values[name])
    for name, levels, columns in groups(design):
        dim = own_name(name)
        out.coords |= {dim: list(levels), f"{dim}_effect": list(columns)}
        if post.effects is None:
            out.add("posterior", f"u_{dim}", [*SAMPLED, dim, f"{dim}_effect"], values["u"][name])
    for name, stat in post.stats.items():
        values_of = stat.astype(bool) if name in FLAGS else stat
        out.add("sample_stats", STATS.get(name, name), SAMPLED, values_of)
    out.add("observed_data", own_name(design.response.name), ["row"], design.response.y)
    if design.response.trials is not None:
        out.add("constant_data", "trials", ["row"], design.response.trials)
    if design.response.se is not None:
        out.add("constant_data", "se", ["row"], design.response.se)
    out.add("constant_data", "offset", ["row"], design.offset)
    out.add("constant_data", "weights", ["row"], design.weights)
    for factor in design.factors:
        out.add("constant_data", f"index_{own_name(factor.name)}", ["row"], factor.index)
    return out


def read(
    model: "Model",
    stats: Iterable[str],
    array: Callable[[str, str], np.ndarray],
    effects: bool = True,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return values and statistics of a posterior from the variables that `layout` made of them.

    Parameters
    ----------
    model : Model
        The model.
    stats : iterable of str
        Names of the sampler's statistics.
    array : callable
        Gives the array of a group and a variable.
    effects : bool
        Whether there are draws of effects.
    """
    names = model.names
    values: dict[str, Any] = {"beta": array("posterior", "beta")}
    sampled = values["beta"].shape[:2]
    for kind, rows in (("sd", names.sd), ("cor", names.cor)):
        values[kind] = array("posterior", kind) if rows else np.empty((*sampled, 0))
    for name in names.dispersion:
        values[name] = array("posterior", name)
    if effects:
        values["u"] = {
            name: array("posterior", f"u_{own_name(name)}") for name, _, _ in groups(model.design)
        }
    return values, {
        name: array("sample_stats", STATS.get(name, name)).astype(np.float64) for name in stats
    }


def attributes(post: "Posterior") -> dict[str, str]:
    """Return the metadata of a posterior; the same for the same content."""
    family, run = post.model.family, post.run
    text = {
        "formula": post.model.design.formula,
        "family": family.name,
        "link": str(family.link),
        "priors": "\n".join(post.model.describe()["Priors"]),
        "sampler": run.sampler,
        "sampler_reason": run.reason,
        "seed": str(run.seed),
        "warmup": str(run.warmup),
        "thin": str(run.thin),
        "interrupted": str(run.interrupted),
        "versions": json.dumps(run.versions, sort_keys=True),
        "inference_library": "bayesglmm",
        "inference_library_version": run.versions["bayesglmm"],
    }
    if run.created:
        text["created_at"] = run.created
    return text


def tree(post: "Posterior") -> "xarray.DataTree":
    """Return a posterior as an ArviZ DataTree; streamed effects stay in their file until used."""
    made = layout(post)
    variables = made.variables["posterior"]
    streamed = {k: v for k, v in variables.items() if not isinstance(v[1], np.ndarray)}
    for name in streamed:
        del variables[name]
    tree = _tree(made, attributes(post))
    for name, (dims, values) in streamed.items():
        array: Any = values
        tree["posterior"][name] = array.lazy(dims, made.coords)
    return tree


def add_log_likelihood(
    tree: "xarray.DataTree", log_likelihood: np.ndarray, post: "Posterior"
) -> None:
    """Add (chains, draws, n) log likelihoods of the rows to a posterior's tree."""
    out = Groups(layout(post).coords)
    name = own_name(post.model.design.response.name)
    out.add("log_likelihood", name, [*SAMPLED, "row"], log_likelihood)
    tree["log_likelihood"] = _tree(out, attributes(post))["log_likelihood"]


def groups_left_out(post: "Posterior", log_likelihood: np.ndarray) -> "xarray.DataTree":
    """Return log likelihoods (chains, draws, levels) of the groups of the first factor as a tree.

    The coefficients (sds where there are none) are beside them, whose effective sample size ArviZ
    looks at.
    """
    factor = post.model.design.factors[0]
    dim = own_name(factor.name)
    coords = {"chain": np.arange(post.chains), "draw": np.arange(post.draws)}
    names = post.model.names
    name, of = ("beta", names.fixed) if names.fixed else ("sd", names.sd)
    coords |= {dim: np.asarray(factor.levels), "parameter": np.asarray(of)}
    out = Groups(coords)
    out.add("posterior", name, [*SAMPLED, "parameter"], post.values[name])
    out.add(
        "log_likelihood", own_name(post.model.design.response.name), [*SAMPLED, dim], log_likelihood
    )
    return _tree(out, attributes(post))


def predictive(
    model: "Model", group: str, draws: np.ndarray, labels: Sequence[str], y: np.ndarray | None
) -> "xarray.DataTree":
    """Return draws (chains, draws, n) of responses as a DataTree, the observed ones beside them."""
    rows = model.design.rows if y is not None else np.asarray(labels)
    coords = {"chain": np.arange(draws.shape[0]), "draw": np.arange(draws.shape[1]), "row": rows}
    out, name = Groups(coords), own_name(model.design.response.name)
    out.add(group, name, [*SAMPLED, "row"], draws)
    if y is not None:
        out.add("observed_data", name, ["row"], y)
    return _tree(out, {"formula": model.design.formula, "inference_library": "bayesglmm"})


def _tree(groups: Groups, attrs: dict[str, str]) -> "xarray.DataTree":
    """Let ArviZ build the tree, group by group: the same name may have other dims elsewhere."""
    import arviz_base
    import xarray

    tree = xarray.DataTree()
    for group, variables in groups.variables.items():
        dims = {name: dims for name, (dims, _) in variables.items()}
        used = {dim for names in dims.values() for dim in names}
        tree[group] = arviz_base.from_dict(
            {group: {name: values for name, (_, values) in variables.items()}},
            coords={name: values for name, values in groups.coords.items() if name in used},
            dims={name: [d for d in names if d not in SAMPLED] for name, names in dims.items()},
        )[group]
    for node in tree.subtree:
        # ArviZ stamps every group with the time of day; ours are the same for the same content.
        node.attrs = dict(attrs)
    return tree
