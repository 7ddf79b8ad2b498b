"""What the terminal shows while a run goes on, and where a profiler's report goes."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar, RichProgressBar
from pytorch_lightning.callbacks.progress.rich_progress import RichProgressBarTheme
from pytorch_lightning.profilers import PassThroughProfiler, Profiler
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn

from lit_compacter.utils.console import console

PROFILE = "profile"
INTERVAL = 0.1  # seconds between two drawings
OTHER_COLUMNS = 70  # characters of `Epoch 12/20`, `1234/1234`, `1:23:45`, `train/loss: 0.1234 val/score: 0.9876`
NARROWEST, WIDEST = 10, 40  # characters of the bar


class CompactProgressBar(RichProgressBar):
    """Lightning's bar in one line of 80 characters: metrics have four digits, the logger's version is left out."""

    def __init__(self) -> None:
        super().__init__(theme=RichProgressBarTheme(metrics_format="#.4g"))
        self.drawn = 0.0  # when it was drawn last

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        return {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}

    def refresh(self, hard: bool = False) -> None:
        """Draw in the thread that prints. Lightning's own thread could draw while a line is printed above the bar."""
        if self.progress and (hard or time.monotonic() - self.drawn > INTERVAL):
            self.drawn = time.monotonic()
            self.progress.refresh()

    def configure_columns(self, trainer: Trainer) -> list[ProgressColumn]:
        width = min(WIDEST, max(NARROWEST, console.width - OTHER_COLUMNS))
        return [
            TextColumn("{task.description}"),
            BarColumn(width),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        ]


def progress_bars(enabled: bool | None, callbacks: Iterable[Callback]) -> list[Callback]:
    """Our progress bar, unless the user has switched it off or given another.

    Args:
        enabled: The trainer's `enable_progress_bar`.
        callbacks: Those that the user has given.
    """
    own = any(isinstance(callback, ProgressBar) for callback in callbacks)
    return [] if enabled is False or own else [CompactProgressBar()]


def write_profile_to(folder: Path, profiler: Profiler) -> None:
    """Let a profiler that would print its report, whose lines have 200 characters and more, write it to a file.

    Args:
        folder: The run folder; the report is `<verb>-profile.txt` in it.
        profiler: The trainer's.
    """
    if not isinstance(profiler, PassThroughProfiler) and not profiler.filename:
        profiler.dirpath = profiler.dirpath or folder
        profiler.filename = PROFILE


def find_profiles(verb: str, profiler: Profiler) -> list[Path]:
    """The reports of `write_profile_to`; with several processes each writes one."""
    if profiler.filename != PROFILE or profiler.dirpath is None:
        return []
    return sorted(Path(profiler.dirpath).glob(f"{verb}-{PROFILE}*.txt"))
