"""A user's own callbacks, and functions for Lightning's, as a config names them by import path."""

import json
import time
from pathlib import Path
from typing import Any, ClassVar

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter
from torch.profiler import ProfilerActivity, profile


class Probe(Callback):
    """Keeps in the run folder what torch was set to, and the largest entry of each optimizer step's gradient."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {"gradients": []}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seen["deterministic"] = torch.are_deterministic_algorithms_enabled()
        self.seen["benchmark"] = torch.backends.cudnn.benchmark
        self.seen["anomaly"] = torch.is_anomaly_enabled()

    def on_before_zero_grad(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        gradients = [p.grad.abs().max().item() for p in pl_module.parameters() if p.grad is not None]
        self.seen["gradients"] += [max(gradients)] if gradients else []

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.seen["inference"] = torch.is_inference_mode_enabled()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        (Path(trainer.default_root_dir) / "probe.json").write_text(json.dumps(self.seen))

    on_validation_end = on_fit_end


class StopAfter(Callback):
    """Ends a run after some epochs, as a user who presses Ctrl-C between two does."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


class Writer(BasePredictionWriter):
    """Keeps in the run folder what it is given."""

    def __init__(self, write_interval: Any) -> None:
        super().__init__(write_interval)
        self.batches: list[Any] = []

    def write_on_batch_end(self, trainer: Trainer, *given: Any) -> None:
        _, prediction, indices, *_ = given
        self.batches.append((indices, prediction))

    def write_on_epoch_end(self, trainer: Trainer, *given: Any) -> None:
        _, predictions, indices = given
        path = Path(trainer.default_root_dir) / "writer.json"
        path.write_text(json.dumps([self.batches, list(zip(indices[0], predictions, strict=True))]))


def batch_size(batch: dict[str, Any]) -> int:
    return len(batch["labels"])


def started(trainer: Trainer, module: LightningModule) -> None:
    (Path(trainer.default_root_dir) / "started").touch()


class CountHostReads(Callback):
    """Counts the values that the host reads in each training step after the first two, but AdamW's step counters.

    It has one for each trained tensor, on the host also where the tensor is on a GPU.
    """

    counts: ClassVar[list[int]] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.profiler = profile(activities=[ProfilerActivity.CPU])
        self.profiler.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.profiler.stop()
        if batch_idx > 1:
            reads = [event.count for event in self.profiler.key_averages() if event.key == "aten::_local_scalar_dense"]
            assert isinstance(pl_module.model, torch.nn.Module)
            self.counts.append(sum(reads) - sum(p.requires_grad for p in pl_module.model.parameters()))


class CountCommunication(Callback):
    """Counts the communications of some training steps and of what lies between them, after those that set up DDP."""

    FIRST, LAST = 2, 6

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == self.FIRST:
            self.profiler = profile(activities=[ProfilerActivity.CPU])
            self.profiler.start()
        if batch_idx == self.LAST:
            self.profiler.stop()
            events = self.profiler.key_averages()
            counts = {event.key: event.count for event in events if event.key.startswith("gloo:")}
            path = Path(trainer.default_root_dir) / f"communication-{trainer.global_rank}.json"
            path.write_text(json.dumps(counts))


class Pause(Callback):
    """Makes each training step take longer, so that there is time to stop it."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        time.sleep(0.1)


class Gathers(Callback):
    """Counts how often blocks of a sharded backbone are gathered in a validation, and keeps it in the run folder."""

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.profile = profile(activities=[ProfilerActivity.CPU]).__enter__()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.profile.stop()
        count = sum(event.count for event in self.profile.key_averages() if event.key == "c10d::_allgather_base_")
        (Path(trainer.default_root_dir) / "gathers.json").write_text(json.dumps(count))
