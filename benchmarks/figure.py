"""The figure of the efficiency benchmark: each method's time or score, share of trainable parameters and memory."""

import math
from collections.abc import Mapping
from pathlib import Path

from benchmarks.results import Result
from lit_compacter.methods.titles import TITLES
from lit_compacter.reports.labels import place_labels

AREA = 45  # points² per GB of memory
LEGEND = (2, 4, 8)  # GB


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
