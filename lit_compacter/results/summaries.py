"""What a run shows and leaves behind: summary, config, metrics and the learning curve."""

import dataclasses
import shlex
from collections import defaultdict

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.table import Table

from lit_compacter.checkpoints.callbacks import BestCheckpoint
from lit_compacter.cli.progress import find_profiles
from lit_compacter.datamodule import GlueDataModule
from lit_compacter.methods import name_of
from lit_compacter.module import LEARNING_RATE, T5Module
from lit_compacter.results.learning_curve import draw_learning_curve
from lit_compacter.results.metrics_file import EVALUATIONS, describe, record
from lit_compacter.results.predictions import PredictionFile
from lit_compacter.results.run_dir import BEST, CHECKPOINTS, LAST, RunFolder
from lit_compacter.utils.console import console


class RunConfig(Callback):
    """Keeps the resolved config in the run folder, once the model is built and the run really starts.

    Args:
        folder: The run's.
        config: The config as YAML.
        verb: What is run.
    """

    def __init__(self, folder: RunFolder, config: str, verb: str) -> None:
        self.folder = folder
        self.config = config
        self.verb = verb

    def _keep(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.folder.begin(self.config, self.verb)

    on_train_start = on_test_start = on_predict_start = _keep

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._keep(trainer, pl_module)


class Hyperparameters(Callback):
    """Gives every logger what the run was made with: task, method, options, seed and the number of parameters."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, T5Module)
        if not trainer.enable_autolog_hparams:
            return
        data: GlueDataModule = trainer.datamodule  # type: ignore[attr-defined]
        sizes = {True: 0, False: 0}
        for parameter in pl_module.parameters():
            sizes[parameter.requires_grad] += parameter.numel()
        options = dataclasses.asdict(pl_module.method)  # type: ignore[call-overload]
        options = {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
        values = {
            "task": data.task.name,
            "method": name_of(type(pl_module.method)),
            "method_options": options,
            "model_name": pl_module.model_name,
            "learning_rate": pl_module.learning_rate,
            "warmup_steps": pl_module.warmup_steps,
            "weight_decay": pl_module.weight_decay,
            "batch_size": data.options.batch_size * trainer.world_size * trainer.accumulate_grad_batches,
            "seed": pl_module.seed,
            "trainable_parameters": sizes[True],
            "total_parameters": sizes[True] + sizes[False],
            **data.options.inputs,
        }
        for logger in trainer.loggers:
            logger.log_hyperparams(values)


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


def finish(trainer: Trainer, folder: RunFolder | None, verb: str, checkpoint: str | None) -> dict[str, float]:
    """Write metrics.json and the learning curve, and say where everything is.

    Args:
        trainer: Whose run is over.
        folder: The run folder; None for a dry run, which keeps nothing.
        verb: What has run.
        checkpoint: The checkpoint that it began from.

    Returns:
        The run's final metrics.
    """
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name != LEARNING_RATE}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, BestCheckpoint) and verb == "fit" and callback.best_model_score is not None:
            metrics["val/best_score"] = float(callback.best_model_score)
        if isinstance(callback, PredictionFile):
            metrics |= callback.metrics
    if not trainer.is_global_zero:
        return metrics
    if metrics:
        console.print("  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))
    if folder is None:
        console.print("dry run (trainer.fast_dev_run): no checkpoint, result or log was kept")
        return metrics
    for report in find_profiles(verb, trainer.profiler):  # type: ignore[attr-defined]
        console.print(f"profiler report: {report}", soft_wrap=True)
    if verb == "fit":
        draw_learning_curve(folder.path)
        if command := _next_command(trainer, folder):
            console.print(command, soft_wrap=True)
    if not record(folder.path, describe(trainer, verb, folder.path, checkpoint), metrics):
        console.print(f"not of the run's own task, data and checkpoint: see {EVALUATIONS} in metrics.json")
    console.print(f"run folder: {folder.path}", soft_wrap=True)
    return metrics


def _next_command(trainer: Trainer, folder: RunFolder) -> str | None:
    """The command that evaluates best.ckpt, or last.ckpt where no validation has chosen a best one."""
    checkpoints = folder.path / CHECKPOINTS
    there = [path.stem for name in (BEST, LAST) if (path := checkpoints / name).exists()]
    if not there:
        return None
    verb = "test" if trainer.datamodule.can_test else "validate"  # type: ignore[attr-defined]
    options = "--config", str(folder.config), "--run_name", folder.path.name, "--ckpt_path", there[0]
    return f"{verb} it: {shlex.join(['python', 'main.py', verb, *options])}"
