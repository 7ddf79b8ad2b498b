"""Time of one adapter, forward and backward with an optimizer step between: Compacter, H materialized, dense layers.

`python -m benchmarks.layer` interleaves them for several numbers of Kronecker terms, n, and prints ratios of medians
and minima.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.compare import rotated
from benchmarks.report import Times, machine
from benchmarks.results import table, write
from lit_compacter.layers import Bottleneck, PHMBottleneck, PHMLinear, PHMRule

KINDS = ("Compacter", "H materialized", "nn.Linear")
REFERENCES = KINDS[1:]


def make(kind: str, dim: int, bottleneck: int, phm_dim: int) -> Bottleneck:
    """An adapter of one of `KINDS`."""
    sizes = (dim, bottleneck), (bottleneck, dim)
    if kind == "nn.Linear":
        return Bottleneck(nn.Linear(*sizes[0]), nn.Linear(*sizes[1]))
    rule = PHMRule(phm_dim)  # one for all layers, as in Compacter
    down, up = (PHMLinear(*size, phm_dim, phm_rule=rule) for size in sizes)
    down.use_factored_matmul = up.use_factored_matmul = kind == "Compacter"
    return PHMBottleneck(down, up)


class Contestant:
    """An adapter with its optimizer."""

    def __init__(self, adapter: Bottleneck) -> None:
        self.adapter = adapter
        self.optimizer = torch.optim.AdamW(adapter.parameters())

    def seconds(self, x: torch.Tensor, dy: torch.Tensor) -> float:
        """Time of one forward and backward pass; the parameters change after it."""
        x.grad = None
        started = time.perf_counter()
        self.adapter(x).backward(dy)
        elapsed = time.perf_counter() - started
        self.optimizer.step()
        self.optimizer.zero_grad()
        return elapsed


def measure(options: argparse.Namespace, phm_dim: int) -> dict[str, list[float]]:
    """Kind → seconds of each timed round."""
    contestants = {kind: Contestant(make(kind, options.dim, options.bottleneck, phm_dim)) for kind in KINDS}
    x = torch.randn(options.tokens, options.dim, requires_grad=True)
    dy = torch.randn(options.tokens, options.dim)
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for round_ in range(options.rounds + 10):
        for kind in rotated(KINDS, round_):
            elapsed = contestants[kind].seconds(x, dy)
            if round_ >= 10:  # the first rounds warm up
                times[kind].append(elapsed)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dim", type=int, default=768, help="model dimension")
    parser.add_argument("--bottleneck", type=int, default=24)
    parser.add_argument("--phm_dims", type=int, nargs="+", default=[4, 8, 12])
    parser.add_argument("--tokens", type=int, default=1024, help="vectors per pass")
    parser.add_argument("--rounds", type=int, default=300, help="timed passes of each kind, interleaved")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder for layer.json and layer.md")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    measured = {phm_dim: measure(options, phm_dim) for phm_dim in options.phm_dims}
    write(options.out, "layer", as_json(options, measured), markdown(measured))


def as_json(options: argparse.Namespace, measured: dict[int, dict[str, list[float]]]) -> dict[str, Any]:
    setting = {name: value for name, value in vars(options).items() if name != "out"}
    return {"benchmark": "layer", "setting": setting, "machine": machine(), "seconds": measured}


def markdown(measured: dict[int, dict[str, list[float]]]) -> str:
    over = [f"{what} / {reference}" for reference in REFERENCES for what in ("median", "minimum")]
    rows = []
    for phm_dim, times in measured.items():
        for kind, seconds in times.items():
            found = Times.of(seconds)
            cells = [f"{kind}, n = {phm_dim}", f"{1000 * found.median:.2f}", f"{1000 * found.minimum:.2f}"]
            for reference in REFERENCES:
                cells.append(f"{found.median / statistics.median(times[reference]):.2f}")
                cells.append(f"{found.minimum / min(times[reference]):.2f}")
            rows.append(cells)
    return table(("adapter", "median, ms", "minimum, ms", *over), rows)


if __name__ == "__main__":
    main()
