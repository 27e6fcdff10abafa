"""The printed posterior: the verdict first, then priors, tables, data and sampler."""

from typing import TYPE_CHECKING

from . import sampling_history

if TYPE_CHECKING:
    from .posterior import Posterior

MAX_ROWS = 60  # of one printed table; `summary()` has all rows


def posterior(post: "Posterior") -> str:
    """Return the text of ``print(post)``."""
    model, names = post.model, post.model.names
    family = model.family
    described = model.describe()
    table = post.table()
    parts = [
        f"{model.design.formula}   [{family.name}, {family.link} link]",
        _verdict(post),
        _section("Priors", described["Priors"]),
    ]
    for title, rows in (
        ("Fixed effects", names.fixed),
        ("Standard deviations and correlations of effects", (*names.sd, *names.cor)),
        ("Dispersion", (*names.dispersion, *names.inverse)),
    ):
        if rows:
            shown = rows[:MAX_ROWS]
            lines = str(table.take(shown)).splitlines()
            if len(rows) > MAX_ROWS:
                lines.append(f"... and {len(rows) - MAX_ROWS} more: see summary()")
            parts.append(_section(title, lines))
    parts.append(_section("Data", described["Data"]))
    parts.append(_section("Sampler", _sampler(post)))
    return "\n\n".join(parts)


def _section(title: str, lines: list[str]) -> str:
    return "\n".join([title, *(f"  {line}" for line in lines)])


def _verdict(post: "Posterior") -> str:
    text = str(post.verdict)
    if not post.run.interrupted:
        return text
    return f"Interrupted: {post.draws} draws of each chain were kept.\n{text}"


def _before(post: "Posterior") -> str:
    """What comes before the draws; loops of tuning, whose number is each chain's, not counted."""
    held = post.run.classical
    return f"{post.run.warmup} of warm-up" if held is None else f"{held['nbi']} of burn-in"


def _sampler(post: "Posterior") -> list[str]:
    run = post.run
    lines = [
        f"{run.sampler}: {run.reason}",
        f"{post.chains} chains x {post.draws} draws after {_before(post)}, "
        f"thin {run.thin}, seed {run.seed}",
    ]
    if run.classical is not None:
        lines += sampling_history.lines(run.classical)
    lines += run.changes
    if run.keep != "all":
        kept = {"summary": "moments and quantiles", "stream": "draws in a file"}[run.keep]
        lines.append(f"effects: {kept} (keep={run.keep!r})")
    rates = [
        f"{name.removeprefix('accept').strip('_')} {values.mean():.2f}".lstrip()
        for name, values in post.stats.items()
        if name.startswith("accept") and values.size
    ]
    if rates:
        lines.append("acceptance: " + ", ".join(rates))
    lines.append("seconds: " + ", ".join(f"{k} {v:.2f}" for k, v in run.seconds.items()))
    return lines
