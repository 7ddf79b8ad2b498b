"""How time and memory of a training step grow with the batch, the length, the model and the adapters held.

`python -m benchmarks.growth --out DIR` measures Compacter on T5 with random weights, and writes a table and a plot with
the exponents between neighboring points: 1 is linear growth.
"""

import argparse
import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmarks.compare import Contestant, Outcome, add_arguments, compete
from benchmarks.ours import MODES
from benchmarks.report import MB, machine
from benchmarks.results import table, write
from benchmarks.sizes import SIZES
from benchmarks.workers.step import OURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PARAMETERS = "parameters"  # what the size of a model is plotted against
Series: TypeAlias = dict[str, dict[float, dict[str, float]]]  # what grows → value → measure → number
TICK_RATIO = 1.2  # of two labels on an axis that do not overlap
MEASURES = {"median_s": "median, s", "minimum_s": "minimum, s", "peak_mb": "peak memory, MB"}


def measure(grows: str, values: Sequence[Any], args: argparse.Namespace) -> dict[float, dict[str, float]]:
    """Value → measure → number. The values take turns.

    Raises:
        SystemExit: A worker failed; its line is printed.
    """
    contestants = []
    for value in values:
        options = {"size": args.size, "batch_size": args.batch_size, "length": args.length, "device": args.device}
        options[grows] = value
        words = [f"--{name}={option}" for name, option in options.items()]
        contestants.append(Contestant(f"{grows} {value}", "benchmarks.workers.step", [f"{OURS}{args.mode}", *words]))
    outcome: Outcome = compete(contestants, args.rounds, args.warm_up, args.threads)
    if outcome.failed:
        raise SystemExit("a point is missing; the line above says why")
    found = {}
    for value, result in zip(values, outcome.results.values(), strict=True):
        seconds = result.seconds["step"]
        x = float(result.about["all"] if grows == "size" else value)
        found[x] = {
            "median_s": statistics.median(seconds),
            "minimum_s": min(seconds),
            "peak_mb": result.peak_bytes / MB,
        }
    return found


def exponents(points: Mapping[float, Mapping[str, float]], name: str) -> list[float]:
    """D log y / d log x between neighboring points."""
    pairs = [(x, values[name]) for x, values in points.items()]
    return [math.log(after / before) / math.log(right / left) for (left, before), (right, after) in pairwise(pairs)]


def markdown(series: Series, setting: Mapping[str, Any]) -> str:
    """A table for each thing that grows."""
    text = ", ".join(f"{key} {value}" for key, value in setting.items()) + f"; {machine()['cpu']}\n"
    for grows, points in series.items():
        columns = {name: ["", *(f"{slope:.2f}" for slope in exponents(points, name))] for name in MEASURES}
        rows = []
        for row, (x, values) in enumerate(points.items()):
            cells = [
                [f"{values[name]:,.0f}" if name == "peak_mb" else f"{values[name]:.3f}", columns[name][row]]
                for name in MEASURES
            ]
            rows.append([f"{x:,.0f}", *(cell for pair in cells for cell in pair)])
        header = [grows, *(word for title in MEASURES.values() for word in (title, "exponent"))]
        text += f"\n{table(header, rows)}"
    return text


def draw(series: Series, path: Path) -> None:
    """Time above and memory below, against each thing that grows, with exponents at the lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * len(series), 6), dpi=120)
    grid = figure.subplots(2, len(series), squeeze=False)
    for column, (grows, points) in enumerate(series.items()):
        for axes, name in zip(grid[:, column], ("median_s", "peak_mb"), strict=True):
            _plot(axes, grows, points, name)
    figure.suptitle("a training step; exponents between neighboring points", fontsize=10)
    figure.tight_layout()
    figure.savefig(path)


def _plot(axes: "Axes", grows: str, points: Mapping[float, Mapping[str, float]], name: str) -> None:
    x, y = list(points), [values[name] for values in points.values()]
    axes.plot(x, y, marker="o", color="tab:blue")
    axes.set(xscale="log", yscale="log", xlabel=grows, title=MEASURES[name])
    axes.set_xticks(x, [f"{value / 1e6:.0f} M" if grows == PARAMETERS else f"{value:g}" for value in x])
    low, high = min(y), max(y)
    ticks = [low, high] if high > TICK_RATIO * low else [low]
    axes.set_yticks(ticks, [f"{tick:,.0f}" if tick >= 100 else f"{tick:.2g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(low / 1.5, high * 1.8)
    for place, slope in enumerate(exponents(points, name)):
        middle = math.sqrt(x[place] * x[place + 1]), math.sqrt(y[place] * y[place + 1])
        axes.annotate(f"{slope:.2f}", middle, xytext=(-3, 6), textcoords="offset points", ha="right", fontsize=8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, rounds=5)
    parser.add_argument("--size", choices=SIZES, default="base", help="where another option grows")
    parser.add_argument("--batch_size", type=int, default=8, help="where another option grows")
    parser.add_argument("--length", type=int, default=128, help="source tokens, where another option grows")
    parser.add_argument("--mode", choices=MODES, default="fp32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--lengths", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["small", "base"], help="add large where it fits")
    parser.add_argument(
        "--adapters", type=int, nargs="+", default=[1, 10, 100, 1000], help="that the model holds, in fp32"
    )
    args = parser.parse_args()
    grows = {"batch_size": args.batch_sizes, "length": args.lengths, "size": args.sizes, "adapters": args.adapters}
    series: Series = {}
    for name, values in grows.items():
        series[PARAMETERS if name == "size" else name] = measure(name, values, args)
    setting = {name: getattr(args, name) for name in ("size", "batch_size", "length", "mode", "rounds", "threads")}
    slopes = {name: {key: exponents(points, key) for key in MEASURES} for name, points in series.items()}
    content = {"setting": setting, "machine": machine(), "series": series, "exponents": slopes}
    write(args.out, "growth", content, markdown(series, setting))
    if args.out:
        draw(series, args.out / "growth.png")


if __name__ == "__main__":
    main()
