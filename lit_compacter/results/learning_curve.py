"""logs/history.jsonl, which records a training run with any loggers, and the learning curve drawn from it."""

from collections import defaultdict
from pathlib import Path

from matplotlib.figure import Figure
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn

from lit_compacter.runtime.rank import is_rank_zero
from lit_compacter.utils.atomic import atomic_write
from lit_compacter.utils.jsonl import append_record, read_records
from lit_compacter.utils.run_files import CURVE, HISTORY, LOSS, SCORE


class History(Callback):
    """Appends a line every `trainer.log_every_n_steps` optimizer steps, and one for each validation.

    Args:
        run_dir: The run directory.
    """

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / HISTORY
        self.step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if step != self.step and (step == 1 or step % max(1, trainer.log_every_n_steps) == 0):  # type: ignore[attr-defined]
            self._append(trainer, "train/")
        self.step = step

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._append(trainer, "val/")

    def _append(self, trainer: Trainer, prefix: str) -> None:
        if is_rank_zero():
            metrics = {name: float(x) for name, x in trainer.callback_metrics.items() if name.startswith(prefix)}
            append_record(self.path, {"step": trainer.global_step, "epoch": trainer.current_epoch} | metrics)


def read_history(run_dir: Path) -> dict[str, dict[int, float]]:
    """Metric name → optimizer step → value. If a resumed run repeated a step, the later line counts."""
    series: dict[str, dict[int, float]] = defaultdict(dict)
    for entry in read_records(run_dir / HISTORY):
        for name in entry.keys() - {"step", "epoch"}:
            series[name][entry["step"]] = entry[name]
    return series


def draw_learning_curve(run_dir: Path) -> None:
    """Draw learning_curve.png: training loss and validation score by optimizer step."""
    series = read_history(run_dir)
    figure = Figure(figsize=(7, 4))
    left = figure.subplots()
    right = left.twinx()
    for axis, name, color in ((left, LOSS, "tab:blue"), (right, SCORE, "tab:orange")):
        steps = sorted(series[name])
        axis.plot(steps, [series[name][step] for step in steps], color=color, marker="." if name == SCORE else None)
        axis.set_ylabel(name, color=color)
    left.set_xlabel("optimizer step")
    figure.suptitle(run_dir.name)
    figure.tight_layout()
    with atomic_write(run_dir / CURVE) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
