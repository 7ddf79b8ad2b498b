"""A callback that measures how a process builds its model (memory, time, bytes read), and its training steps."""

import json
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn
from torch.distributed.tensor import DTensor

from benchmarks.workers.serve import forget_peak
from lit_compacter.backbones.t5 import blocks
from lit_compacter.module import T5Module
from lit_compacter.runtime.memory import MB, peak_memory_mb


class StartMemory(Callback):
    """Writes what it has measured to RANK.json.

    Args:
        folder: Folder for the files.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.found: dict[str, Any] = {"steps_s": []}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.device = trainer.strategy.root_device
        forget_peak(self.device.type)  # that of the imports
        self.before = peak_memory_mb(self.device)
        self.read_before = _bytes_from_disk()
        self.started = time.perf_counter()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, T5Module) and pl_module.model is not None
        self.found |= {"ready_s": time.perf_counter() - self.started, "ready_mb": self._peak_mb()}
        self.found["read_mb"] = (_bytes_from_disk() - self.read_before) / MB
        model: nn.Module = pl_module.model
        groups = [{*block.parameters()} for block in blocks(pl_module.model)]
        groups.append({*model.parameters()}.difference(*groups))
        self.found["held_mb"] = sum(_num_bytes(p, is_whole=False) for p in model.parameters()) / MB
        largest = max(sum(_num_bytes(p, is_whole=True) for p in group) for group in groups)
        self.found["largest_block_mb"] = largest / MB

    def on_train_batch_start(self, *_: Any) -> None:
        self.started = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        self.found["steps_s"].append(time.perf_counter() - self.started)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.found["peak_mb"] = self._peak_mb()
        (self.folder / f"{trainer.global_rank}.json").write_text(json.dumps(self.found))

    def _peak_mb(self) -> float:
        return peak_memory_mb(self.device) - self.before


def _bytes_from_disk() -> int:
    """That this process has caused to be read; pages that the kernel had in its cache do not count."""
    return next(int(line.split()[1]) for line in open("/proc/self/io") if line.startswith("read_bytes"))


def _num_bytes(parameter: nn.Parameter, is_whole: bool) -> int:
    held = parameter.to_local() if isinstance(parameter, DTensor) and not is_whole else parameter
    return held.numel() * held.element_size()
