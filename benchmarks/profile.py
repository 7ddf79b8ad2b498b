"""Where the time of a training step goes, and what it could be at best.

`python -m benchmarks.profile` profiles one step of the stock T5 with trained layer norms and one of ours, and compares
them with the time that their floating-point operations take at the rate of one large matrix product.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.ours import make_module, training_loss
from benchmarks.report import machine
from benchmarks.results import table, write
from benchmarks.sizes import SIZES, t5_config
from lit_compacter.methods import LayerNorms

# Group → how the names of its operations begin, without aten::.
GROUPS = {
    "matrix products of linear layers": ("mm", "addmm"),
    "matrix products of attention": ("bmm", "baddbmm"),
    "random numbers": ("bernoulli_", "random_", "lit_compacter::random_int16"),
    "copies": ("copy_", "cat", "clone", "fill_", "zero_"),
}
OTHER = "elementwise operations, sums and the rest"


def make_steps(options: argparse.Namespace) -> dict[str, Callable[[], None]]:
    """Name → a function that does one training step."""
    from transformers import T5ForConditionalGeneration

    stock = T5ForConditionalGeneration(t5_config(options.size)).train()
    LayerNorms().apply(stock)
    module = make_module(options.size)
    assert module.model is not None
    return {
        "stock T5, layer norms": _step(stock, stock, options),
        "ours, Compacter": _step(module.model, module.training_forward, options),
    }


def _step(model: Any, forward: Callable[..., Any], options: argparse.Namespace) -> Callable[[], None]:
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad])
    shape = (options.batch_size, options.length)
    batch = {"input_ids": torch.randint(5, 32_000, shape), "attention_mask": torch.ones(shape, dtype=torch.long)}
    batch |= {"labels": torch.randint(5, 32_000, (options.batch_size, 2))}

    def step() -> None:
        training_loss(model, forward, batch).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def profiled(step: Callable[[], None]) -> dict[str, float]:
    """Group → milliseconds of one step."""
    step()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        step()
    times = dict.fromkeys([*GROUPS, OTHER], 0.0)
    for event in found.key_averages():
        name = event.key.removeprefix("aten::")
        group = next((group for group, names in GROUPS.items() if name in names), OTHER)
        times[group] += event.self_cpu_time_total / 1000
    return times


def flops(step: Callable[[], None]) -> int:
    """Floating-point operations of one step's matrix products."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def peak_rate(options: argparse.Namespace) -> float:
    """Floating-point operations per second of the product of a large linear layer."""
    width = t5_config(options.size).d_model
    x, weight = torch.randn(options.batch_size * options.length, width), torch.randn(4 * width, width)
    fastest = float("inf")
    for _ in range(50):
        started = time.perf_counter()
        torch.nn.functional.linear(x, weight)
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * x.numel() * len(weight) / fastest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--length", type=int, default=128, help="source tokens")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder for profile.json and profile.md")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rate, steps = peak_rate(options), make_steps(options)
    found = {name: profiled(step) for name, step in steps.items()}
    bounds = {name: 1000 * flops(step) / rate for name, step in steps.items()}
    rows = [[group, *(f"{times[group]:.0f}" for times in found.values())] for group in (*GROUPS, OTHER)]
    rows.append(["in all", *(f"{sum(times.values()):.0f}" for times in found.values())])
    rows.append([f"all matrix products at {rate / 1e9:.0f} GFLOP/s", *(f"{bound:.0f}" for bound in bounds.values())])
    content = {"benchmark": "profile", "machine": machine(), "milliseconds": found, "bounds": bounds, "rate": rate}
    write(options.out, "profile", content, table(("one step, ms", *found), rows))


if __name__ == "__main__":
    main()
