"""Work of one training step after another: forward, backward and AdamW on random tokens."""

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.sizes import SIZES
from benchmarks.workers.peers import KINDS, make_peer
from benchmarks.workers.serve import serve, set_threads

OURS = "ours-"  # followed by a key of benchmarks.ours.MODES
LEARNING_RATE = 3e-3
TARGET_TOKENS = 2  # a label of GLUE and the end token


def make(kind: str, args: argparse.Namespace) -> tuple[Any, Callable[[dict[str, Tensor]], Tensor], bool]:
    """The model, a function from a batch to its loss, and whether it runs under bf16 autocast."""
    if not kind.startswith(OURS):
        model = make_peer(kind, args.size)
        return model, lambda batch: model(**batch).loss, args.bf16
    from benchmarks import ours  # its imports are absent in peers' environments

    mode = kind.removeprefix(OURS)
    if args.adapters:
        model = ours.make_with_adapters(args.size, args.adapters)
        return model, partial(ours.training_loss, model, model), ours.is_autocast(mode)
    module = ours.make_module(args.size, mode)
    return module.model, partial(ours.training_loss, module.model, module.training_forward), ours.is_autocast(mode)


def random_batch(vocab_size: int, batch_size: int, length: int, device: str) -> dict[str, Tensor]:
    shape = (batch_size, length)
    return {
        "input_ids": torch.randint(2, vocab_size, shape, device=device),
        "attention_mask": torch.ones(shape, dtype=torch.long, device=device),
        "labels": torch.randint(2, vocab_size, (batch_size, TARGET_TOKENS), device=device),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", help=f"{', '.join(KINDS)} or {OURS}MODE")
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--length", type=int, default=128, help="source tokens")
    parser.add_argument("--steps", type=int, default=1, help="of a unit of work; its seconds are their mean")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--bf16", action="store_true", help="under bf16 autocast; for ours, the mode says it")
    parser.add_argument("--adapters", type=int, default=0, help="of ours: how many the model holds; one is trained")
    args = parser.parse_args()
    set_threads()
    model, loss_of, is_autocast = make(args.kind, args)
    model.to(args.device).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE)
    batch = random_batch(SIZES[args.size]["vocab_size"], args.batch_size, args.length, args.device)

    def unit() -> Mapping[str, float]:
        started = time.perf_counter()
        for _ in range(args.steps):
            with torch.autocast(args.device, torch.bfloat16, enabled=is_autocast):
                loss = loss_of(batch)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        if args.device == "cuda":
            torch.cuda.synchronize()
        return {"step": (time.perf_counter() - started) / args.steps}

    counts = {
        name: sum(p.numel() for p in which) for name, which in (("trained", trained), ("all", model.parameters()))
    }
    serve(unit, args.device, **counts)


if __name__ == "__main__":
    main()
