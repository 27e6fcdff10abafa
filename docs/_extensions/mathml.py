"""Sphinx: formulas as MathML, which browsers draw themselves; no script and no request."""

from html import escape
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

# What the converter leaves to be wished: the sign of a distribution is not a keyboard's tilde, and
# a logarithm stands apart from what it is of.
BETTER = {
    "<mi>&#x0007E;</mi>": "<mo>&#x0223C;</mo>",
    "<mi>log</mi>": '<mi>log</mi><mspace width="0.17em"/>',
}


def setup(app: Any) -> dict[str, Any]:
    """Register the renderer that conf.py names."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True}


def mathml(latex: str, display: str) -> str:
    """MathML of a formula, ``inline`` or as a ``block``."""
    made = convert(latex, display=display)
    for old, new in BETTER.items():
        made = made.replace(old, new)
    return made


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(f'<span class="math">{mathml(node.astext(), "inline")}</span>')
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="math" title="{escape(node.astext(), quote=True)}">')
    writer.body.append(mathml(node.astext(), "block"))
    writer.body.append("</div>\n")
    raise nodes.SkipNode
