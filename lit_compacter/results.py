"""metrics.json: what every verb has measured in a run folder, so that no result replaces one of something else.

The top level holds the results of the run itself: those of `fit`, where `val/…` are of the last epoch, and those of
`test` and `predict` on its own task and data with its own best.ckpt. `evaluations` holds every result, these included,
with its verb, task, split, files, checkpoint and date.
"""

import json
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from pytorch_lightning import Trainer

from lit_compacter.options import DataOptions
from lit_compacter.run_folder import BEST, CHECKPOINTS, LAST, METRICS, free_path, results_lock
from lit_compacter.whole import written_whole

EVALUATIONS = "evaluations"
SPLITS = {"fit": "validation", "validate": "validation", "test": "test", "predict": "predict"}
LIMITS = {"validation": "limit_val_batches", "test": "limit_test_batches", "predict": "limit_predict_batches"}

Evaluation: TypeAlias = dict[str, Any]


def describe(trainer: Trainer, verb: str, folder: Path, checkpoint: str | None) -> Evaluation:
    """What tells one result of `verb` from another: task, split, files, inputs, rows taken and checkpoint."""
    path = Path(checkpoint or folder / CHECKPOINTS / LAST).absolute()
    own = verb == "fit" or path.parent == (folder / CHECKPOINTS).absolute()
    options: DataOptions = trainer.datamodule.options  # type: ignore[attr-defined]
    return {
        "verb": verb,
        "task": options.task,
        "split": SPLITS[verb],
        "checkpoint": path.name if own else str(path),
        "data": {split: _data(trainer, options, split) for split in (LIMITS if verb == "fit" else (SPLITS[verb],))},
    }


def _data(trainer: Trainer, options: DataOptions, split: str) -> dict[str, Any]:
    """The options that decide which rows a split has and how its inputs are made."""
    files = {name: getattr(options, name) for name in ("data_dir", f"{split}_file")}
    files = {name: value and str(Path(value).absolute()) for name, value in files.items()}
    limit = {LIMITS[split]: getattr(trainer, LIMITS[split])}
    return (
        files
        | limit
        | {"trained_on": options.trained_on if options.trained_on != options.task else None}
        | options.inputs
    )


def record(folder: Path, evaluation: Evaluation, metrics: dict[str, float]) -> None:
    """Add a result to the folder's metrics.json; a result of the very same replaces the earlier one.

    Args:
        folder: The run folder.
        evaluation: As `describe` gives it.
        metrics: Metric name → value.
    """
    metrics = {name: round(value, 6) for name, value in metrics.items()}
    # As JSON has it: what was read back must compare equal.
    evaluation = json.loads(json.dumps(evaluation, default=str))
    with results_lock(folder):
        known = _read(folder / METRICS)
        evaluations: list[Evaluation] = known.pop(EVALUATIONS, [])
        same = [other for other in evaluations if evaluation.items() <= other.items()]
        if _is_of_the_run(evaluation, evaluations):
            known |= metrics
        evaluations = [other for other in evaluations if other not in same]
        evaluations.append(
            evaluation | {"date": f"{datetime.now().astimezone():%Y-%m-%dT%H:%M:%S%z}", "metrics": metrics}
        )
        with written_whole(folder / METRICS) as temporary:
            temporary.write_text(json.dumps(known | {EVALUATIONS: evaluations}, indent=2) + "\n")


def _is_of_the_run(evaluation: Evaluation, earlier: list[Evaluation]) -> bool:
    """Whether a result belongs at the top level.

    In a folder without a fit the first result of a verb does, and what replaces it.
    """
    verb, split = evaluation["verb"], evaluation["split"]
    if verb == "fit":
        return True
    if fits := [other for other in earlier if other["verb"] == "fit"]:
        of_the_run = fits[-1]["task"], fits[-1]["data"][split], LAST if verb == "validate" else BEST
        return of_the_run == (evaluation["task"], evaluation["data"][split], evaluation["checkpoint"])
    first = next((other for other in earlier if other["verb"] == verb), None)
    return first is None or evaluation.items() <= first.items()


def _read(path: Path) -> dict[str, Any]:
    """What a metrics.json holds; one that cannot be read is put aside."""
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError):
        path.rename(aside := free_path(path))
        warnings.warn(f"{path} is damaged: it is now {aside.name}, and a new one begins", stacklevel=3)
        return {}
