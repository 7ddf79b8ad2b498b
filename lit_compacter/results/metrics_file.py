"""The results of a run, in metrics.json and logs/results.jsonl.

The top level of metrics.json holds the results of the run itself: those of `fit`, where `val/…` are of the last epoch,
and those of `test` and `predict` on the run's own task and data with its best.ckpt, or last.ckpt if it has none. Any
other result is an entry of `evaluations`, with its verb, task, split, data, checkpoint and date. Results of different
evaluations never replace each other. logs/results.jsonl has one line per result, in chronological order, which says
whether it is of the run itself, and what it should be read with.

`test` and `validate` also keep the outcome of each example, beside it: test_predictions.jsonl for the run itself, and a
numbered file, which its entry names, for any other evaluation.
"""

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict

from pytorch_lightning import Trainer

from lit_compacter.checkpoints.paths import BEST, CHECKPOINTS, LAST
from lit_compacter.data.options import DataOptions
from lit_compacter.results.records import IS_OWN, WARNINGS
from lit_compacter.results.run_dir import free_path, results_lock
from lit_compacter.utils.atomic import atomic_write
from lit_compacter.utils.jsonl import append_record, read_records, write_records
from lit_compacter.utils.run_files import METRICS, OUTCOMES, RESULTS

EVALUATIONS = "evaluations"
RESOURCES = "resources"  # what the fit took (resources.py)
PREDICTIONS = "predictions"  # the file with the outcome of each example
SPLITS = {"fit": "validation", "validate": "validation", "test": "test", "predict": "predict"}
LIMITS = {"validation": "limit_val_batches", "test": "limit_test_batches", "predict": "limit_predict_batches"}


class Evaluation(TypedDict):
    """What distinguishes one result from another."""

    verb: str
    task: str
    split: str
    checkpoint: str  # best.ckpt or last.ckpt of the run itself, or the path of another
    data: dict[str, dict[str, Any]]  # split → files, inputs and the limit on its batches


def describe_evaluation(trainer: Trainer, verb: str, run_dir: Path, checkpoint: str | None) -> Evaluation:
    """Describe what a run of `verb` has evaluated.

    Args:
        trainer: The run's trainer.
        verb: fit, validate, test or predict.
        run_dir: The run directory.
        checkpoint: The checkpoint that the run started from.
    """
    path = Path(checkpoint or run_dir / CHECKPOINTS / LAST).absolute()
    is_own = verb == "fit" or path.parent == (run_dir / CHECKPOINTS).absolute()
    options: DataOptions = trainer.datamodule.options  # type: ignore[attr-defined]
    return {
        "verb": verb,
        "task": options.task,
        "split": SPLITS[verb],
        "checkpoint": path.name if is_own else str(path),
        "data": {split: _data(trainer, options, split) for split in (LIMITS if verb == "fit" else (SPLITS[verb],))},
    }


def _data(trainer: Trainer, options: DataOptions, split: str) -> dict[str, Any]:
    """The options that decide which rows a split has and how its inputs are made, without those that are not set."""
    files = {name: getattr(options, name) for name in ("data_dir", f"{split}_file")}
    values = {name: value and str(Path(value).resolve()) for name, value in files.items()} | options.inputs
    values["commit"] = trainer.datamodule.commit  # type: ignore[attr-defined]
    values["trained_on"] = options.trained_on if options.trained_on != options.task else None
    if not isinstance(limit := getattr(trainer, LIMITS[split]), float) or limit != 1.0:  # 1 is a batch, 1.0 all
        values[LIMITS[split]] = limit
    return {name: value for name, value in values.items() if value is not None}


def record_result(
    run_dir: Path,
    evaluation: Evaluation,
    metrics: dict[str, float],
    resources: Mapping[str, Any] | None = None,
    outcomes: Iterable[Mapping[str, Any]] | None = None,
    told: Sequence[str] = (),
) -> bool:
    """Add a result to metrics.json, where it replaces an earlier one of the same evaluation, and to the log.

    Args:
        run_dir: The run directory.
        evaluation: As `describe_evaluation` returns it.
        metrics: Metric name → value.
        resources: What a fit took.
        outcomes: The records of `Outcomes`, of validate and test.
        told: What the result should be read with: the summaries of the run's warnings.

    Returns:
        Whether it is a result of the run itself.
    """
    metrics = {name: round(value, 6) for name, value in metrics.items()}
    evaluation = json.loads(json.dumps(evaluation, default=str))  # as it is read back, to compare
    entry = dict(evaluation) | {"date": f"{datetime.now().astimezone():%Y-%m-%dT%H:%M:%S%z}", "metrics": metrics}
    of_fit = {RESOURCES: dict(resources)} if resources else {}
    with results_lock(run_dir):
        known = _read(run_dir / METRICS)
        others: list[dict[str, Any]] = known.pop(EVALUATIONS, [])
        if is_own := _is_of_the_run(run_dir, evaluation):
            known |= metrics | of_fit
        same = [other for other in others if evaluation.items() <= other.items() and not is_own]
        if outcomes is not None:
            name = _outcomes_file(run_dir, evaluation["verb"], is_own, same)
            write_records(run_dir / name, outcomes)
            entry[PREDICTIONS] = name
        if not is_own:
            others = [*(other for other in others if other not in same), entry]
        with atomic_write(run_dir / METRICS) as temporary:
            temporary.write_text(json.dumps(known | ({EVALUATIONS: others} if others else {}), indent=2) + "\n")
        # Last: a study takes it as the sign that all is written.
        append_record(run_dir / RESULTS, entry | of_fit | {IS_OWN: is_own, WARNINGS: list(told)})
    return is_own


def _is_of_the_run(run_dir: Path, evaluation: Evaluation) -> bool:
    """Whether a result belongs at the top level.

    In a directory without a fit, the first result of each verb does, and so do later results of the same evaluation.
    """
    verb, split = evaluation["verb"], evaluation["split"]
    if verb == "fit":
        return True
    earlier = list(read_records(run_dir / RESULTS))
    if fits := [other for other in earlier if other["verb"] == "fit"]:
        has_best = verb != "validate" and (run_dir / CHECKPOINTS / BEST).exists()
        of_the_run = fits[-1]["task"], fits[-1]["data"][split], BEST if has_best else LAST
        return of_the_run == (evaluation["task"], evaluation["data"][split], evaluation["checkpoint"])
    first = next((other for other in earlier if other["verb"] == verb), dict(evaluation))
    return evaluation.items() <= first.items()


def _outcomes_file(run_dir: Path, verb: str, is_own: bool, same: list[dict[str, Any]]) -> str:
    """The name of the file of outcomes, which replaces that of the same evaluation, and no other."""
    path = run_dir / OUTCOMES.format(verb=verb)
    earlier = [str(other[PREDICTIONS]) for other in same if PREDICTIONS in other]
    first = 2 if verb == "test" else 1  # the run's own test may come later
    return path.name if is_own else next(iter(earlier), free_path(path, first).name)


def _read(path: Path) -> dict[str, Any]:
    """The content of metrics.json; a file that cannot be read is renamed."""
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError):
        path.rename(renamed := free_path(path))
        warnings.warn(f"{path} is damaged: renamed to {renamed.name}, and a new one is started", stacklevel=3)
        return {}
