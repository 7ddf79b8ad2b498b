"""Print summaries of a run's data, model and results, and save its config and hyperparameters."""

import dataclasses
import shlex
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.profilers import Profiler
from rich.table import Table

from lit_compacter.checkpoints.callbacks import BestCheckpoint
from lit_compacter.checkpoints.paths import BEST, CHECKPOINTS, LAST
from lit_compacter.datamodule import GlueDataModule
from lit_compacter.methods import name_of, plain_options
from lit_compacter.module import LEARNING_RATE, T5Module
from lit_compacter.results.learning_curve import draw_learning_curve
from lit_compacter.results.metrics_file import EVALUATIONS, describe_evaluation, record_result
from lit_compacter.results.predictions import PredictionWriter
from lit_compacter.results.resources import Resources, count_parameters
from lit_compacter.results.run_dir import RunDir
from lit_compacter.runtime.command import command_name
from lit_compacter.runtime.rank import is_rank_zero
from lit_compacter.utils.console import console
from lit_compacter.utils.run_files import BEST_SCORE


class SaveConfig(Callback):
    """Writes the resolved config to the run directory, once the model is built and the run really starts.

    Args:
        run_dir: The run directory.
        config: Returns the config as YAML, with the commits that were loaded.
        verb: fit, validate, test or predict.
    """

    def __init__(self, run_dir: RunDir, config: Callable[[], str], verb: str) -> None:
        self.run_dir = run_dir
        self.config = config
        self.verb = verb

    def _save(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not (trainer.sanity_checking or self.run_dir.has_begun):
            self.run_dir.begin(self.config(), self.verb)

    on_train_start = on_validation_start = on_test_start = on_predict_start = _save


class LogHyperparameters(Callback):
    """Logs the run's task, method, options, seed and number of parameters to every logger."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, T5Module) and pl_module.model is not None
        if not trainer.enable_autolog_hparams:
            return
        data: GlueDataModule = trainer.datamodule  # type: ignore[attr-defined]
        trainable, total = count_parameters(pl_module.model)
        values = {
            "task": data.task.name,
            "method": name_of(type(pl_module.method)),
            "method_options": plain_options(dataclasses.asdict(pl_module.method)),  # type: ignore[call-overload]
            "model_name": pl_module.options.model_name,
            "learning_rate": pl_module.options.learning_rate,
            "warmup_steps": pl_module.options.warmup_steps,
            "weight_decay": pl_module.options.weight_decay,
            "batch_size": data.options.batch_size * trainer.world_size * trainer.accumulate_grad_batches,
            "max_tokens_per_batch": data.options.max_tokens_per_batch,
            "seed": pl_module.options.seed,
            "trainable_parameters": trainable,
            "total_parameters": total,
            **data.options.inputs,
        }
        for logger in trainer.loggers:
            logger.log_hyperparams(values)


class ParameterSummary(Callback):
    """Prints the number of trainable parameters, one line per group."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, T5Module) and pl_module.model is not None
        groups: dict[str, int] = defaultdict(int)
        for name, parameter in pl_module.model.named_parameters():
            if parameter.requires_grad:
                groups[pl_module.method.summary_group(name)] += parameter.numel()
        trainable, total = count_parameters(pl_module.model)
        console.print(headline(trainable, total))
        table = Table("group", "trainable", "% of all")
        for name, count in groups.items():
            table.add_row(name, f"{count:,}", f"{100 * count / total:.4f}")
        console.print(table)


class DataSummary(Callback):
    """Prints the number of rows of each split, and what sampling, truncation and the vocabulary leave out."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        data: GlueDataModule = trainer.datamodule  # type: ignore[attr-defined]
        for split, rows in data.data.items():
            first, *others = data.describe_losses(split)
            lines = [f"{len(rows):,} examples; {first}", *others, *filter(None, [data.describe_sample(split)])]
            for line in lines:
                console.print(f"{split}: {line}", markup=False, soft_wrap=True)


def headline(trainable: int, total: int) -> str:
    """`161,728 of 223 M parameters trainable (0.073 %)`."""
    return f"{trainable:,} of {_millions(total)} parameters trainable ({100 * trainable / total:.3f} %)"


def _millions(count: int) -> str:
    return f"{count / 1e6:.0f} M" if count >= 1e7 else f"{count / 1e6:.2f} M"


def summarize_run(
    trainer: Trainer, run_dir: RunDir | None, verb: str, checkpoint: str | None, told: Sequence[str]
) -> dict[str, float]:
    """Write metrics.json and the learning curve, and print where everything is.

    Args:
        trainer: The trainer of the finished run.
        run_dir: The run directory; None for a dry run, which keeps nothing.
        verb: The verb that was run.
        checkpoint: The checkpoint that the run started from.
        told: The summaries of its `RunWarning`s, which are kept with the results.

    Returns:
        The run's final metrics.
    """
    metrics = _final_metrics(trainer, verb)
    if not is_rank_zero():
        return metrics
    if metrics:
        console.print("  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))
    if run_dir is None:
        console.print("dry run (trainer.fast_dev_run): no checkpoint, result or log was kept")
        return metrics
    for report in _profiler_reports(trainer.profiler, verb):  # type: ignore[attr-defined]
        console.print(f"profiler report: {report}", soft_wrap=True)
    if verb == "fit":
        draw_learning_curve(run_dir.path)
        if command := _next_command(trainer, run_dir):
            console.print(command, soft_wrap=True)
    evaluation = describe_evaluation(trainer, verb, run_dir.path, checkpoint)
    extras = _resources(trainer), _outcomes(trainer, verb), told
    if not record_result(run_dir.path, evaluation, metrics, *extras):
        console.print(f"for another task, data or checkpoint than the run's own: see {EVALUATIONS} in metrics.json")
    console.print(f"run folder: {run_dir.path}", soft_wrap=True)
    return metrics


def _final_metrics(trainer: Trainer, verb: str) -> dict[str, float]:
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name != LEARNING_RATE}
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, BestCheckpoint) and verb == "fit" and callback.best_model_score is not None:
            metrics[BEST_SCORE] = float(callback.best_model_score)
        if isinstance(callback, PredictionWriter):
            metrics |= callback.metrics
    return metrics


def _resources(trainer: Trainer) -> dict[str, Any]:
    """What a fit took; empty for the other verbs."""
    measured = [callback.measured for callback in trainer.callbacks if isinstance(callback, Resources)]  # type: ignore[attr-defined]
    return next(iter(measured), {})


def _outcomes(trainer: Trainer, verb: str) -> Iterator[dict[str, Any]] | None:
    """What became of each example that validate or test has evaluated."""
    module = trainer.lightning_module
    assert isinstance(module, T5Module)
    if verb not in ("validate", "test") or module.metrics.outcomes is None:
        return None
    return module.metrics.outcomes.records()


def _profiler_reports(profiler: Profiler, verb: str) -> list[Path]:
    """The reports that the run has written; with several processes there is one for each."""
    if not profiler.filename or profiler.dirpath is None:
        return []
    return sorted(Path(profiler.dirpath).glob(f"{verb}-{profiler.filename}*.txt"))


def _next_command(trainer: Trainer, run_dir: RunDir) -> str | None:
    """The command that evaluates best.ckpt, or last.ckpt if no validation has chosen a best one."""
    checkpoints = run_dir.path / CHECKPOINTS
    existing = [path.stem for name in (BEST, LAST) if (path := checkpoints / name).exists()]
    if not existing:
        return None
    verb = "test" if trainer.datamodule.has_test_split else "validate"  # type: ignore[attr-defined]
    options = "--config", str(run_dir.config), "--run_name", run_dir.path.name, "--ckpt_path", existing[0]
    return f"{verb} it: {command_name()} {shlex.join([verb, *options])}"
