"""What training takes: parameters, memory and time, on which machine."""

import time
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn

from lit_compacter.layers import QuantizedLinear
from lit_compacter.module import T5Module
from lit_compacter.runtime.environment import environment
from lit_compacter.runtime.memory import peak_memory_mb


class Resources(Callback):
    """Measures what a fit takes. `summarize_run` writes it to metrics.json and logs/results.jsonl.

    Attributes:
        measured: Once training has ended: `trained_parameters` and `parameters`, which all processes share;
            `peak_memory_mb` of rank 0, of its GPU or else its resident memory; `seconds` of training and validation;
            and its `environment`. The seconds of a resumed run are those of all its starts, up to the checkpoint that
            the next start resumed from.
    """

    def __init__(self) -> None:
        self.measured: dict[str, Any] = {}
        self.earlier_seconds = 0.0  # of the starts before this one
        self.began: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return self.earlier_seconds + (0.0 if self.began is None else time.monotonic() - self.began)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, T5Module) and pl_module.model is not None
        self.counts = count_parameters(pl_module.model)  # here, before a strategy divides them
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)  # of an earlier run in this process

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.began = time.monotonic()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trained, total = self.counts
        self.measured = {
            "trained_parameters": trained,
            "parameters": total,
            "peak_memory_mb": round(peak_memory_mb(pl_module.device), 1),
            "seconds": round(self.seconds, 1),
            "environment": environment(pl_module.device.type),
        }

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.earlier_seconds = state_dict["seconds"]


def count_parameters(module: nn.Module) -> tuple[int, int]:
    """Number of trainable parameters, and of all parameters, however many bits hold them."""
    parameters = list(module.parameters())
    quantized = [layer for layer in module.modules() if isinstance(layer, QuantizedLinear)]
    total = sum(p.numel() for p in parameters) + sum(q.num_weights - q.weight.numel() for q in quantized)
    return sum(p.numel() for p in parameters if p.requires_grad), total
