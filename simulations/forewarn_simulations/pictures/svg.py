"""A matplotlib figure → an inline SVG whose colours are the page's CSS variables and whose text is text."""

import html
import io
import re
from typing import Final

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Colours with no meaning of their own: each is replaced by the CSS variable of its name, so one picture serves a light
# and a dark page. The page defines the variables; these values show if it does not.
INK: Final = "#1b1f23"
MUTED: Final = "#5c6771"
GRID: Final = "#d5dade"
PAPER: Final = "#fdfefe"
CARD: Final = "#f4f7f9"
WARNED: Final = "#b3261e"
CLEAR: Final = "#0b6e6a"
UNSURE: Final = "#7a5195"
SOURCE: Final = "#1d3f8f"
_VARIABLES: Final = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    PAPER: "paper",
    CARD: "card",
    WARNED: "warned",
    CLEAR: "clear",
    UNSURE: "unsure",
    SOURCE: "source",
}
_STYLE: Final = {
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 10.0,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.5,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "svg.hashsalt": "forewarn",
}
PHONE_WIDTH_IN: Final = 5.3
"""At 72 points an inch, about the width of a phone's screen: text keeps its size there and grows on a desktop."""


def figure(height_in: float, *, width_in: float = PHONE_WIDTH_IN) -> tuple[Figure, Axes]:
    """Return an empty figure with one pair of axes, in the house's style."""
    style.use(_STYLE)
    drawn = Figure(figsize=(width_in, height_in), layout="constrained")
    drawn.patch.set_alpha(0.0)
    axes = drawn.add_subplot()
    axes.patch.set_alpha(0.0)
    return drawn, axes


def inline_svg(drawn: Figure, name: str, alt: str) -> str:
    """Return the figure as an <svg> element for a page; `name` is unique on it, `alt` says what is to be seen."""
    out = io.StringIO()
    drawn.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    body = text[text.index("<svg") :].split(">", 1)[1]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", body)  # ids of two pictures must not meet on one page
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, f"var(--{variable}, {colour})")
    body = re.sub(r"font-family: [^;\"]*", "font-family: inherit", body)
    width, height = (round(72 * inches, 2) for inches in drawn.get_size_inches())
    described = html.escape(alt, quote=True)
    # What is wider than a phone keeps its size and scrolls, else its text could not be read.
    least = f' style="min-width: {width:g}px"' if drawn.get_figwidth() > PHONE_WIDTH_IN else ""
    return f'<svg viewBox="0 0 {width:g} {height:g}"{least} role="img" aria-label="{described}">{body}'
