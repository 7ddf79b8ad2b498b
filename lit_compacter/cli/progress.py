"""What the terminal shows while a run is in progress."""

import time
from collections.abc import Iterable
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar, RichProgressBar
from pytorch_lightning.callbacks.progress.rich_progress import RichProgressBarTheme
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn

from lit_compacter.utils.console import console

REFRESH_INTERVAL_S = 0.1
OTHER_COLUMNS = 70  # characters of `Epoch 12/20`, `1234/1234`, `1:23:45`, `train/loss: 0.1234 val/score: 0.9876`
MIN_WIDTH, MAX_WIDTH = 10, 40  # characters of the bar


class CompactProgressBar(RichProgressBar):
    """Lightning's bar in one line of 80 characters: metrics have four digits, the logger's version is left out."""

    def __init__(self) -> None:
        super().__init__(theme=RichProgressBarTheme(metrics_format="#.4g"))
        self.last_refresh = 0.0
        self.last_read = 0.0
        self.metrics: dict[str, Any] = {}

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Read the metrics. While training, only as often as they are drawn, because a GPU waits when they are read."""
        is_within_epoch = trainer.training and not trainer.is_last_batch
        if not (is_within_epoch and time.monotonic() - self.last_read < REFRESH_INTERVAL_S):
            self.last_read = time.monotonic()
            metrics = super().get_metrics(trainer, pl_module)
            self.metrics = {name: value for name, value in metrics.items() if name != "v_num"}
        return self.metrics

    def refresh(self, hard: bool = False) -> None:
        """Draw in the thread that prints. Lightning's own thread could draw while a line is printed above the bar."""
        if self.progress and (hard or time.monotonic() - self.last_refresh > REFRESH_INTERVAL_S):
            self.last_refresh = time.monotonic()
            self.progress.refresh()

    def configure_columns(self, trainer: Trainer) -> list[ProgressColumn]:
        width = min(MAX_WIDTH, max(MIN_WIDTH, console.width - OTHER_COLUMNS))
        return [
            TextColumn("{task.description}"),
            BarColumn(width),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        ]


def progress_bars(enabled: bool | None, callbacks: Iterable[Callback]) -> list[Callback]:
    """The progress bar, unless the user has disabled it or given another.

    Args:
        enabled: The trainer's `enable_progress_bar`.
        callbacks: The user's.
    """
    given = any(isinstance(callback, ProgressBar) for callback in callbacks)
    return [] if enabled is False or given else [CompactProgressBar()]
