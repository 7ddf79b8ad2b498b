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
from lit_compacter.planning.trace import BatchShape, make_batch

STEPS = 2  # in the second, the optimizer has its states


def train(module: T5Module, shape: BatchShape) -> None:
    """Steps in Lightning's order: the gradients of the last step are freed after the forward pass."""
    assert module.model is not None
    optimizer = torch.optim.AdamW(parameter for parameter in module.parameters() if parameter.requires_grad)
    for _ in range(STEPS):
        loss = module.loss(make_batch(shape, module.model.config.vocab_size))
        optimizer.zero_grad()
        loss.backward()
        del loss
        optimizer.step()


def measure(size: str, method: str, backbone: str, checkpointing: bool, shape: list[int]) -> int:
    """Bytes at the peak of training, above those of the process with its libraries loaded."""
    tiny = ours.make_module("tiny", method=load_method(method), backbone_dtype=backbone)
    train(tiny, BatchShape(2, 8, 4))  # loads kernels
    forget_peak("cpu")
    before = peak_memory("cpu")
    options: dict[str, Any] = {"backbone_dtype": backbone, "gradient_checkpointing": checkpointing}
    module = ours.make_module(size, method=load_method(method), **options)
    forget_peak("cpu")  # the weights take more while they are drawn
    train(module, BatchShape(*shape))
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
