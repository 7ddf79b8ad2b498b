"""How the figures of a report look, and how they are written: PNG, SVG, and SVG within a page."""

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lit_compacter.utils.atomic import atomic_write

INK = "#333333"  # of text and lines; a page replaces it by its own color of text
# Okabe and Ito's palette for all kinds of color vision, without black and yellow, which vanish on a dark or light page.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#888888")
MARKERS = "os^DvPX<>phd8H*"
LINES = ("-", "--", ":", "-.")  # one for each round of the colors
MAX_COLUMNS = 4  # of panels
SINGLE = (5.5, 3.4)  # inches, the least width and height of a figure with one panel
PIXELS = 4 / 3  # of a page, per point
NARROWEST = 560  # pixels of a wide figure
OPTIONS: dict[Any, Any] = {
    "svg.hashsalt": "lit-compacter",  # the same SVG each time
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.2,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    "axes.titlecolor": INK,
    "grid.color": INK,
}


@dataclass(frozen=True)
class Drawing:
    """A finished figure: the name of its files, its title, what it shows, and its SVG."""

    name: str
    title: str
    caption: str
    svg: str


@contextmanager
def figure_style() -> Iterator[None]:
    """The style of all figures."""
    with matplotlib.rc_context(OPTIONS):
        yield


def look(number: int) -> dict[str, str]:
    """Color, marker and line of the method at a place in the tables."""
    line = LINES[number // len(COLORS) % len(LINES)]
    return {"color": COLORS[number % len(COLORS)], "marker": MARKERS[number % len(MARKERS)], "linestyle": line}


def make_panels(titles: Sequence[str], width: float, height: float, share_y: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure of panels, each with a title.

    Args:
        titles: The panels' titles.
        width: Width of a panel in inches.
        height: Its height.
        share_y: Whether all have the same y-axis.
    """
    if len(titles) == 1:
        width, height = max(width, SINGLE[0]), max(height, SINGLE[1])
    columns = min(MAX_COLUMNS, len(titles))
    rows = math.ceil(len(titles) / columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=share_y).flatten().tolist()
    for axes, title in zip(grid, titles, strict=False):
        axes.set_title(title, loc="left")
    for axes in grid[len(titles) :]:
        axes.remove()
    return figure, grid[: len(titles)]


def add_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend of all panels, below them."""
    handles: dict[str, Artist] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(str(label), handle)
    columns = max(1, int(figure.get_figwidth() / 1.6))
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=min(columns, len(handles)))


def save(figure: Figure, folder: Path, name: str, title: str, caption: str) -> Drawing:
    """Write NAME.png and NAME.svg."""
    figure.set_facecolor("none")
    for axes in figure.axes:
        axes.set_facecolor("none")
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nothing)
    svg = buffer.getvalue()
    with atomic_write(folder / f"{name}.svg") as temporary:
        temporary.write_text(svg, encoding="utf-8")
    with atomic_write(folder / f"{name}.png") as temporary:
        figure.savefig(temporary, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    return Drawing(name, title, caption, svg)


def inline(drawing: Drawing) -> str:
    """The SVG for a page: it takes the page's color of text, and its ids are unlike those of other figures."""
    svg = drawing.svg[drawing.svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r'(?<= id=")|(?<=href="#)|(?<=url\(#)', f"{drawing.name}-", svg)
    svg = re.sub(r' height="[\d.]+pt"', "", svg, count=1)
    return re.sub(r' width="([\d.]+)pt"', _width, svg, count=1)


def _width(points: re.Match[str]) -> str:
    """The style of a figure's own width; on a narrow screen it gets smaller, as long as it can be read."""
    pixels = round(float(points[1]) * PIXELS)
    return f' style="width: {pixels}px; min-width: {min(pixels, NARROWEST)}px"'
