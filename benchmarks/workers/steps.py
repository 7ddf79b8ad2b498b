"""A callback of the command line that measures each training step of a process."""

import json
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class StepClock(Callback):
    """Writes the seconds and the bytes sent of each training step to steps-RANK.json in the run folder.

    Args:
        device: The network device whose bytes are counted.
    """

    def __init__(self, device: str) -> None:
        self.sent = Path(f"/sys/class/net/{device}/statistics/tx_bytes")
        self.readings: list[tuple[float, int]] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.readings.append((time.monotonic(), int(self.sent.read_text())))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        path = Path(trainer.default_root_dir) / f"steps-{trainer.global_rank}.json"
        path.write_text(json.dumps(self.readings))
