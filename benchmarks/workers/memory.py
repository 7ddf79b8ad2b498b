"""The peak memory of training steps in a process of its own, above what the process takes without a model.

It is the resident memory that the kernel counts, so that nothing which the estimate may forget is left out. The process
is a copy of one that has imported the libraries.
"""

import json
import os
import sys
from typing import Any

import torch

from benchmarks import ours
from benchmarks.workers.serve import forget_peak, peak_memory
from lit_compacter.cli.defaults import load_method
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


def measure(size: str, method: str, backbone: str, checkpointing: bool, shape: list[int]) -> int:
    """Bytes at the peak of training, above those of the process with its libraries loaded."""
    train(ours.make_module("tiny", method=load_method(method), backbone_dtype=backbone), 2, 8, 4)  # loads kernels
    forget_peak("cpu")
    before = peak_memory("cpu")
    options: dict[str, Any] = {"backbone_dtype": backbone, "gradient_checkpointing": checkpointing}
    module = ours.make_module(size, method=load_method(method), **options)
    forget_peak("cpu")  # the weights take more while they are drawn
    train(module, *shape)
    return peak_memory("cpu") - before


def main() -> None:
    """Answer each line of stdin, the arguments of `measure` as JSON, from a process of its own."""
    torch.manual_seed(0)
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            print(json.dumps({"bytes": measure(**json.loads(line))}), flush=True)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            print(json.dumps({"error": "failed or out of memory"}), flush=True)


if __name__ == "__main__":
    main()
