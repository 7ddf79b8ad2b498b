"""The figure of the efficiency benchmark: each method's time or score, share of trainable parameters and memory."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.results import TITLES, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

AREA = 45  # points² per GB of memory
LEGEND = (2, 4, 8)  # GB
NEAR = 9  # points: a label farther from its point gets a line to it


def draw(results: Mapping[str, Result], scores: Mapping[str, float], path: Path) -> None:
    """Plot score, or else time per step, against the trained share, as in the paper's figure 1; area is memory."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator

    shown = {name: result for name, result in results.items() if not scores or name in scores}
    x = [result["percent"] for result in shown.values()]
    y = [100 * scores[name] if scores else result["seconds"] for name, result in shown.items()]
    memory = [result["memory_mb"] / 1024 for result in shown.values()]  # GB
    figure, axes = plt.subplots(figsize=(10, 6), dpi=120)
    axes.scatter(x, y, s=[AREA * gb for gb in memory], c="tab:blue", alpha=0.45, edgecolors="tab:blue", linewidths=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("trained parameters, % of the backbone")
    axes.set_ylabel("validation score, %" if scores else "time per step, s")
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_major_formatter(plain)
    if not scores:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(plain)
        axes.yaxis.set_minor_formatter("")
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.margins(0.12, 0.15)
    sizes = [axes.scatter([], [], s=AREA * gb, c="tab:blue", alpha=0.45, label=f"{gb} GB") for gb in LEGEND]
    axes.legend(
        handles=sizes, title="peak memory", loc="upper left", bbox_to_anchor=(1, 1), labelspacing=1.2, frameon=False
    )
    figure.tight_layout()
    place_labels(axes, x, y, [TITLES.get(name, name) for name in shown], [math.sqrt(AREA * gb) / 2 for gb in memory])
    figure.savefig(path)
    plt.close(figure)


def place_labels(
    axes: "Axes", x: Sequence[float], y: Sequence[float], names: Sequence[str], radii: Sequence[float]
) -> None:
    """Write each point's name as close to it as possible without touching a point or another name.

    Args:
        axes: The axes, with points drawn and limits set.
        x: The x-coordinates of the points, in data units.
        y: The y-coordinates of the points, in data units.
        names: The names of the points.
        radii: The radii of the points' disks, in typographic points.
    """
    from matplotlib.transforms import Bbox

    canvas = axes.figure.canvas
    canvas.draw()
    pixels = axes.figure.dpi / 72
    occupied = []
    centers: list[list[float]] = axes.transData.transform(np.column_stack([x, y])).tolist()
    for (left, low), radius in zip(centers, radii, strict=True):
        half = radius * pixels
        occupied.append(Bbox.from_extents(left - half, low - half, left + half, low + half))
    inside = axes.get_window_extent()
    for i in sorted(
        range(len(names)), key=lambda i: -x[i]
    ):  # from the right, where names have room beside their points
        for offset in _offsets(radii[i]):
            label = _write(axes, names[i], (x[i], y[i]), offset)
            box = label.get_window_extent().padded(2 * pixels)
            if _is_inside(box, inside) and not any(box.overlaps(other) for other in occupied):
                occupied.append(box)
                if math.hypot(*offset) > radii[i] + NEAR:
                    _join(axes, (x[i], y[i]), offset, radii[i])
                break
            label.remove()
        else:  # no room nearby: an overlap is better than a point without a name
            _write(axes, names[i], (x[i], y[i]), (radii[i] + 2, 0))


def _offsets(radius: float) -> Iterator[tuple[float, float]]:
    """Offsets from a point's center, in points, the nearest first."""
    for ring in range(16):
        distance = radius + 3 + 7 * ring
        for angle in range(0, 360, 15):
            yield distance * math.cos(math.radians(angle)), distance * math.sin(math.radians(angle))


def _write(axes: "Axes", name: str, point: tuple[float, float], offset: tuple[float, float]) -> "Annotation":
    right, up = offset
    return axes.annotate(
        name,
        point,
        xytext=offset,
        textcoords="offset points",
        fontsize=9,
        ha="left" if right > 1 else "right" if right < -1 else "center",
        va="bottom" if up > 1 else "top" if up < -1 else "center",
    )


def _join(axes: "Axes", point: tuple[float, float], offset: tuple[float, float], radius: float) -> None:
    """A thin line from a point's edge to its name."""
    line = {"arrowstyle": "-", "color": "0.45", "linewidth": 0.7, "shrinkA": 0, "shrinkB": radius}
    axes.annotate("", point, xytext=offset, textcoords="offset points", arrowprops=line)


def _is_inside(box: "Bbox", frame: "Bbox") -> bool:
    return bool(box.x0 >= frame.x0 and box.x1 <= frame.x1 and box.y0 >= frame.y0 and box.y1 <= frame.y1)
