"""The peak memory of training steps in a process of its own, above what the process takes without a model.

It is the resident memory that the kernel counts, so that nothing which the estimate may forget is left out.
"""

import argparse
import json

import torch

from benchmarks import ours
from benchmarks.sizes import SIZES
from benchmarks.workers.serve import forget_peak, peak_memory
from lit_compacter.cli.configs import load_method
from lit_compacter.module import T5Module

STEPS = 2  # in the second, the optimizer has its states


def random_batch(vocab_size: int, rows: int, source: int, target: int) -> dict[str, torch.Tensor]:
    return {
        "input_ids": torch.randint(2, vocab_size, (rows, source)),
        "attention_mask": torch.ones(rows, source, dtype=torch.long),
        "labels": torch.randint(2, vocab_size, (rows, target)),
    }


def train(module: T5Module, rows: int, source: int, target: int) -> None:
    """Steps in Lightning's order: the gradients of the last step are freed after the forward pass."""
    assert module.model is not None
    optimizer = torch.optim.AdamW(parameter for parameter in module.parameters() if parameter.requires_grad)
    for _ in range(STEPS):
        loss = module.loss(random_batch(module.model.config.vocab_size, rows, source, target))  # type: ignore[arg-type]
        optimizer.zero_grad()
        loss.backward()
        del loss
        optimizer.step()


def measure(size: str, method: str, shape: tuple[int, int, int], backbone: str, checkpointing: bool) -> int:
    """Bytes at the peak of training, above those of the process with its libraries loaded."""
    train(ours.make_module("tiny", method=load_method(method), backbone_dtype=backbone), 2, 8, 4)  # loads kernels
    forget_peak()
    before = peak_memory("cpu")
    options = {"backbone_dtype": backbone, "gradient_checkpointing": checkpointing}
    module = ours.make_module(size, method=load_method(method), **options)
    forget_peak()  # the weights take more while they are drawn
    train(module, *shape)
    return peak_memory("cpu") - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument("--method", required=True)
    parser.add_argument("--shape", type=int, nargs=3, required=True, help="rows, source and target tokens")
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--checkpointing", action="store_true")
    args = parser.parse_args()
    torch.manual_seed(0)
    peak = measure(args.size, args.method, tuple(args.shape), args.backbone, args.checkpointing)
    print(json.dumps({"bytes": peak}))


if __name__ == "__main__":
    main()
