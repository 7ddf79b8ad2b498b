"""Time of one adapter, forward and backward: factored and materialized PHM products, and dense linear layers.

`python -m benchmarks.layer` prints medians of interleaved rounds, also relative to materializing H.
"""

import argparse
import statistics
import time

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from lit_compacter.layers import Bottleneck, PHMLinear


def make(kind: str, dim: int, bottleneck: int, phm_dim: int) -> Bottleneck:
    """An adapter whose linear layers are `factored` or `materialized` PHM products, or `dense`."""

    def linear(in_features: int, out_features: int) -> nn.Module:
        if kind == "dense":
            return nn.Linear(in_features, out_features)
        layer = PHMLinear(in_features, out_features, phm_dim)
        layer.use_factored_matmul = kind == "factored"
        return layer

    return Bottleneck(linear(dim, bottleneck), linear(bottleneck, dim))


def seconds(adapter: Bottleneck, x: torch.Tensor) -> float:
    """Time of one forward and backward pass."""
    started = time.perf_counter()
    adapter(x).sum().backward()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dim", type=int, default=768, help="model dimension")
    parser.add_argument("--bottleneck", type=int, default=24)
    parser.add_argument("--phm_dim", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=1024, help="vectors per pass")
    parser.add_argument("--rounds", type=int, default=100, help="timed passes of each kind, interleaved")
    args = parser.parse_args()
    kinds = ("materialized", "factored", "dense")
    adapters = {kind: make(kind, args.dim, args.bottleneck, args.phm_dim) for kind in kinds}
    x = torch.randn(args.tokens, args.dim, requires_grad=True)
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for round_ in range(args.rounds + 10):
        for kind, adapter in adapters.items():
            elapsed = seconds(adapter, x)
            if round_ >= 10:  # the first rounds warm up
                times[kind].append(elapsed)
    table = Table(
        "adapter", "ms", "relative", title=f"{args.tokens} × {args.dim} → {args.bottleneck}, n = {args.phm_dim}"
    )
    reference = statistics.median(times["materialized"])
    for kind, values in times.items():
        median = statistics.median(values)
        table.add_row(kind, f"{1000 * median:.2f}", f"{median / reference:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
