"""What a run folder has measured: metrics.json, in which no result replaces one of something else.

The top level holds the results of the run itself: those of `fit`, where `val/…` are of the last epoch, and those of
`test` and `predict` on its own task and data with its own best.ckpt, or last.ckpt where it has no other. Any other
result stands under `evaluations`, with its verb, task, split, data, checkpoint and date. logs/results.jsonl has a line
for every result, in their order.
"""

import json
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from pytorch_lightning import Trainer

from lit_compacter.data.options import DataOptions
from lit_compacter.results.run_dir import BEST, CHECKPOINTS, LAST, METRICS, RESULTS, free_path, results_lock
from lit_compacter.utils.atomic import written_whole
from lit_compacter.utils.jsonl import append_record, read_records

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
    """What decides which rows a split has and how its inputs are made, without what was not given."""
    files = {name: getattr(options, name) for name in ("data_dir", f"{split}_file")}
    values = {name: value and str(Path(value).resolve()) for name, value in files.items()} | options.inputs
    values["trained_on"] = options.trained_on if options.trained_on != options.task else None
    if not isinstance(limit := getattr(trainer, LIMITS[split]), float) or limit != 1.0:  # 1 is a batch, 1.0 all
        values[LIMITS[split]] = limit
    return {name: value for name, value in values.items() if value is not None}


def record(folder: Path, evaluation: Evaluation, metrics: dict[str, float]) -> bool:
    """Add a result to a run folder's metrics.json, where it replaces an earlier one of the very same, and to its log.

    Args:
        folder: The run folder.
        evaluation: As `describe` gives it.
        metrics: Metric name → value.

    Returns:
        Whether it is of the run itself.
    """
    metrics = {name: round(value, 6) for name, value in metrics.items()}
    evaluation = json.loads(json.dumps(evaluation, default=str))  # what was read back must compare equal
    entry = evaluation | {"date": f"{datetime.now().astimezone():%Y-%m-%dT%H:%M:%S%z}", "metrics": metrics}
    with results_lock(folder):
        known = _read(folder / METRICS)
        others: list[Evaluation] = known.pop(EVALUATIONS, [])
        if own := _is_of_the_run(folder, evaluation):
            known |= metrics
        else:
            others = [*(other for other in others if not evaluation.items() <= other.items()), entry]
        append_record(folder / RESULTS, entry)
        with written_whole(folder / METRICS) as temporary:
            temporary.write_text(json.dumps(known | ({EVALUATIONS: others} if others else {}), indent=2) + "\n")
    return own


def _is_of_the_run(folder: Path, evaluation: Evaluation) -> bool:
    """Whether a result belongs at the top level.

    In a folder without a fit the first result of a verb does, and later ones of the same.
    """
    verb, split = evaluation["verb"], evaluation["split"]
    if verb == "fit":
        return True
    earlier = list(read_records(folder / RESULTS))
    if fits := [other for other in earlier if other["verb"] == "fit"]:
        takes_best = verb != "validate" and (folder / CHECKPOINTS / BEST).exists()
        of_the_run = fits[-1]["task"], fits[-1]["data"][split], BEST if takes_best else LAST
        return of_the_run == (evaluation["task"], evaluation["data"][split], evaluation["checkpoint"])
    first = next((other for other in earlier if other["verb"] == verb), evaluation)
    return evaluation.items() <= first.items()


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
