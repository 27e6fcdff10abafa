"""The page: what the parts say, put into the template, and written to a file."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import exports, sealed
from ..comparison import Comparison, compare
from ..errors import DataError
from ..posterior import versions
from ..quantities import ratio
from ..sensitivity import THRESHOLD
from ..tables import Table
from . import figures, words

if TYPE_CHECKING:
    from ..likelihood_fit import Fit
    from ..posterior import Posterior

CHECKED = {"mean": "mean", "sd": "standard deviation", "min": "smallest", "max": "largest"}
TEMPLATE = "page.html"


@dataclass(frozen=True)
class Shown:
    """A table of the page.

    Attributes
    ----------
    title : str
    header : list of str
    rows : list of list of str
        The first cell of each is the row's name.
    files : list of (str, str)
        The same as CSV with all digits, Markdown and LaTeX: name and ``data:`` address.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    files: list[tuple[str, str]]


def save(
    post: "Posterior",
    path: str | Path,
    *,
    fits: "Sequence[Fit] | None" = None,
    title: str | None = None,
    force: bool = False,
) -> Path:
    """Write the report of a posterior; the arguments are those of `Posterior.report`.

    Raises
    ------
    DataError
        For a suffix that is not ``.html``.
    FileExistsError
        If the file is there and `force` is false.
    """
    path = Path(path)
    if path.suffix not in (".html", ".htm"):
        raise DataError(f"a report is saved as .html, not as {str(path)!r}")
    sealed.refuse_place(path)
    if path.exists() and not force:
        raise sealed.taken(path)
    text = html(post, fits=fits, title=title)
    with sealed.replacing(path, force) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def html(
    post: "Posterior", *, fits: "Sequence[Fit] | None" = None, title: str | None = None
) -> str:
    """The text of the page."""
    from jinja2 import Environment, StrictUndefined

    template = files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(**content(post, fits, title))


def content(post: "Posterior", fits: "Sequence[Fit] | None", title: str | None) -> dict[str, Any]:
    """What the template is filled with."""
    model = post.model
    results = _fits(post) if fits is None else tuple(fits)
    comparison = compare(post, *results)
    kept = post.run.keep != "summary"  # what needs draws of the effects
    images = [figures.forest(comparison), figures.traces(post)]
    densities = figures.priors(post)
    return {
        "title": title or f"{model.design.response.name}: posterior",
        "formula": model.design.formula,
        "family": model.family.name.replace("_", " "),
        "link": str(model.family.link),
        "question": words.question(model),
        "priors": model.describe()["Priors"],
        "notes": [*model.design.notes, *model.design.warnings],
        "ok": post.verdict.ok,
        "interrupted": post.run.interrupted,
        "verdict": str(post.verdict).splitlines(),
        "tables": _tables(post),
        "estimates": images[0],
        "diagnosis": images[1:],
        "densities": densities,
        "effects": figures.effects(post),
        "residuals": figures.checks(post) if kept else None,
        "checks": _checks(post) if kept else [],
        "comparison": _comparison(comparison) if results else None,
        "flags": [flag.sentence for flag in comparison.flags],
        **_sensitivity(post, kept),
        "methods": words.methods(post, [c.name for c in comparison.columns[1:]]),
        "citations": words.citations(post),
        "code": words.code(post),
        "fingerprint": words.fingerprint(model),
        "versions": {**versions(), **post.run.versions},
        "sampler": f"{post.run.sampler}: {post.run.reason}",
        "created": post.run.created.replace("T", " ").replace("+00:00", " UTC"),
        "seed": post.run.seed,
    }


def _fits(post: "Posterior") -> "tuple[Fit, ...]":
    """The maximum-likelihood fit to stand beside the posterior, if it can be had."""
    model = post.model
    if not model.design.terms:
        return (model.fit("glm"),)
    try:
        gaussian = (model.family.name, model.family.link) == ("gaussian", "identity")
        return (model.fit("reml" if gaussian else "laplace"),)
    except (DataError, ValueError):
        return ()  # what has no maximum is no comparison


def _sensitivity(post: "Posterior", kept: bool) -> dict[str, Any]:
    """The table of `Posterior.sensitivity`, and who is sensitive."""
    if not kept:
        return {"sensitivity": None, "sensitive": []}
    frame = post.sensitivity()
    columns = {k: frame[k].to_numpy(dtype=float) for k in ("prior", "likelihood")}
    table = Table(tuple(frame.index), columns)
    high = columns["prior"] > THRESHOLD
    return {
        "sensitivity": _shown("Sensitivity", table, "sensitivity"),
        "sensitive": [name for name, is_high in zip(table.rows, high, strict=True) if is_high],
    }


def _tables(post: "Posterior") -> list[Shown]:
    names, table = post.model.names, post.table()
    out = []
    if names.fixed:
        fixed = table.take(names.fixed)
        scale = ratio(post.model.family)
        if post.model.family.link in ("log", "logit", "cloglog") and scale.name != "exponentiated":
            columns = dict(fixed.columns)
            low, high = (k for k in columns if k.endswith("%"))
            out.append(_shown("Coefficients", fixed, "coefficients"))
            kept = tuple(n for n in names.fixed if n != "Intercept")
            if kept:
                part = fixed.take(kept)
                made = {
                    scale.name: np.exp(part.columns["median"]),
                    low: np.exp(part.columns[low]),
                    high: np.exp(part.columns[high]),
                }
                title = f"{scale.name.capitalize()}s: posterior medians and limits"
                out.append(_shown(title, Table(kept, made), "ratios"))
        else:
            out.append(_shown("Coefficients", fixed, "coefficients"))
    spread = (*names.sd, *names.cor)
    if spread:
        title = "Standard deviations and correlations of effects"
        out.append(_shown(title, table.take(spread), "sds"))
    if names.dispersion:
        rows = (*names.dispersion, *names.inverse)
        out.append(_shown("Dispersion", table.take(rows), "dispersion"))
    return out


def _shown(title: str, table: Table, name: str) -> Shown:
    """A table with its files: CSV with all digits, the others as it is shown."""
    header, *rows = table.cells()
    digits = [
        [row, *(repr(float(v[i])) for v in table.columns.values())]
        for i, row in enumerate(table.rows)
    ]
    made = {suffix: digits if suffix == ".csv" else rows for suffix in exports.SUFFIXES}
    sources = []
    for suffix, cells in made.items():
        encoded = base64.b64encode(exports.text(suffix, header, cells).encode("utf-8"))
        sources.append((f"{name}{suffix}", f"data:text/plain;base64,{encoded.decode('ascii')}"))
    return Shown(title, header, rows, sources)


def _comparison(comparison: Comparison) -> Shown:
    parts: dict[str, np.ndarray] = {}
    for k, column in enumerate(comparison.columns):
        parts[f"{column.name}"] = column.estimate
        parts["sd" if k == 0 else f"se, {column.name}"] = column.se
        if k:
            parts[f"difference, {column.name}"] = comparison.difference[:, k]
    return _shown("Beside maximum likelihood", Table(comparison.rows, parts), "comparison")


def _checks(post: "Posterior") -> list[tuple[str, str]]:
    """Posterior predictive p-values by statistic, in words."""
    made = post.predictive()
    out = [(label, f"{made.check(name):.3f}") for name, label in CHECKED.items()]
    if (post.model.design.response.y == 0).any():
        out.append(("share of zeros", f"{made.check('zeros'):.3f}"))
    return out
