"""Names beside the points of a scatter plot."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

NEAR = 9  # points: a label farther from its point gets a line to it


def place_labels(
    axes: Axes, x: Sequence[float], y: Sequence[float], names: Sequence[str], radii: Sequence[float]
) -> None:
    """Write each point's name as close to it as possible without touching a point or another name.

    Args:
        axes: The axes, with points drawn and limits set.
        x: The x-coordinates of the points, in data units.
        y: The y-coordinates of the points, in data units.
        names: The names of the points.
        radii: The radii of the points' disks, in typographic points.
    """
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()  # sets the limits and the layout
    pixels = figure.dpi / 72
    occupied = []
    centers: list[list[float]] = axes.transData.transform(np.column_stack([x, y])).tolist()
    for (left, low), radius in zip(centers, radii, strict=True):
        half = radius * pixels
        occupied.append(Bbox.from_extents(left - half, low - half, left + half, low + half))
    inside = axes.get_window_extent()
    from_the_right = sorted(range(len(names)), key=lambda i: -x[i])  # where names have room beside their points
    for i in from_the_right:
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


def _write(axes: Axes, name: str, point: tuple[float, float], offset: tuple[float, float]) -> Annotation:
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


def _join(axes: Axes, point: tuple[float, float], offset: tuple[float, float], radius: float) -> None:
    """A thin line from a point's edge to its name."""
    line = {"arrowstyle": "-", "color": "0.45", "linewidth": 0.7, "shrinkA": 0, "shrinkB": radius}
    axes.annotate("", point, xytext=offset, textcoords="offset points", arrowprops=line)


def _is_inside(box: Bbox, frame: Bbox) -> bool:
    return bool(box.x0 >= frame.x0 and box.x1 <= frame.x1 and box.y0 >= frame.y0 and box.y1 <= frame.y1)
