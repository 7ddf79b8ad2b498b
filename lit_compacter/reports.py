"""What a run shows and leaves behind: summary, config, metrics and the learning curve."""

import csv
import shlex
from collections import defaultdict
from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.table import Table

from lit_compacter import run_folder
from lit_compacter.datamodule import GlueDataModule
from lit_compacter.module import T5Module
from lit_compacter.saving import BestCheckpoint
from lit_compacter.whole import written_whole

console = Console()


class RunConfig(Callback):
    """Keeps the resolved config in the run folder, once the model is built and the run really starts.

    Args:
        folder: The run's.
        config: The config as YAML.
    """

    def __init__(self, folder: run_folder.RunFolder, config: str) -> None:
        self.folder = folder
        self.config = config

    def _keep(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.folder.begin(self.config)

    on_train_start = on_test_start = on_predict_start = _keep

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._keep(trainer, pl_module)


class TrainableSummary(Callback):
    """Says how much of the model is trained, a line per group."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, T5Module) and pl_module.model is not None
        if not trainer.is_global_zero:
            return
        groups: dict[str, int] = defaultdict(int)
        for name, parameter in pl_module.model.named_parameters():
            if parameter.requires_grad:
                groups[pl_module.method.group(name)] += parameter.numel()
        total = sum(parameter.numel() for parameter in pl_module.model.parameters())
        console.print(headline(sum(groups.values()), total))
        table = Table("group", "trained", "% of all")
        for name, count in groups.items():
            table.add_row(name, f"{count:,}", f"{100 * count / total:.4f}")
        console.print(table)


class DataSummary(Callback):
    """Says how many rows a verb works on, and what of them the trainer or the model does not see."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        data: GlueDataModule = trainer.datamodule  # type: ignore[attr-defined]
        if trainer.is_global_zero:
            for role, rows in data.data.items():
                first, *others = data.losses(role)
                lines = [f"{len(rows):,} examples; {first}", *others, *filter(None, [data.sample(role)])]
                for line in lines:
                    console.print(f"{role}: {line}", markup=False, soft_wrap=True)


def headline(trained: int, total: int) -> str:
    """`161,728 of 223 M parameters trained (0.073 %)`."""
    return f"{trained:,} of {_millions(total)} parameters trained ({100 * trained / total:.3f} %)"


def _millions(count: int) -> str:
    return f"{count / 1e6:.0f} M" if count >= 1e7 else f"{count / 1e6:.2f} M"


def finish(trainer: Trainer, folder: Path, verb: str) -> None:
    """Write metrics.json and the learning curve, and say where everything is."""
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    if verb == "fit":
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, BestCheckpoint) and callback.best_model_score is not None:
                metrics["val/best_score"] = float(callback.best_model_score)
        draw_learning_curve(folder)
        console.print("  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))
        if (folder / run_folder.CHECKPOINTS / run_folder.BEST).exists():
            verb = "test" if trainer.datamodule.can_test else "validate"  # type: ignore[attr-defined]
            options = "--config", str(folder / run_folder.CONFIG), "--run_name", folder.name, "--ckpt_path", "best"
            console.print(f"{verb} it: {shlex.join(['python', 'main.py', verb, *options])}", soft_wrap=True)
    with run_folder.results_lock(folder):
        run_folder.add_metrics(folder, {name: round(value, 6) for name, value in metrics.items()})
    console.print(f"run folder: {folder}", soft_wrap=True)


def draw_learning_curve(folder: Path) -> None:
    """learning_curve.png: training loss and validation score over optimizer steps."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    series: dict[str, dict[int, float]] = defaultdict(dict)  # a resumed run overwrites what it repeats
    for path in sorted(
        folder.glob(f"{run_folder.LOGS}/fit/csv/version_*/metrics.csv"), key=lambda p: p.stat().st_mtime
    ):
        whole_lines = path.read_text().rpartition("\n")[0].splitlines()  # a killed run may have left a part of one
        for row in csv.DictReader(whole_lines):
            for name in ("train/loss", "val/score"):
                if row.get(name):
                    series[name][int(row["step"])] = float(row[name])
    figure, left = plt.subplots(figsize=(7, 4))
    right = left.twinx()
    for axis, name, colour in ((left, "train/loss", "tab:blue"), (right, "val/score", "tab:orange")):
        steps = sorted(series[name])
        axis.plot(steps, [series[name][s] for s in steps], color=colour, marker="." if name == "val/score" else None)
        axis.set_ylabel(name, color=colour)
    left.set_xlabel("optimizer step")
    figure.suptitle(folder.name)
    figure.tight_layout()
    with written_whole(folder / run_folder.CURVE) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
    plt.close(figure)
