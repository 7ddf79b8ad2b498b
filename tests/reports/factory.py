"""Made-up studies: run folders as fit and test leave them, with results drawn from a seed."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from lit_compacter.tasks.answer_metrics import Outcomes
from lit_compacter.utils.jsonl import append_record, write_records

Values: TypeAlias = Mapping[str, Any]
ERROR = "training diverged: a gradient is not finite; lower the learning rate"
# Method → trained parameters, peak memory in MB, and the share of examples that it gets right.
METHODS = {
    "full": (222_903_552, 9_800.0, 0.86),
    "adapter": (1_855_104, 5_400.0, 0.85),
    "adapter_drop": (1_101_984, 5_000.0, 0.84),
    "pfeiffer": (951_360, 5_200.0, 0.85),
    "phm_adapter": (398_976, 5_500.0, 0.85),
    "bitfit": (280_960, 4_900.0, 0.82),
    "compacter": (161_728, 5_450.0, 0.86),
    "low_rank": (161_664, 5_350.0, 0.84),
    "compacter_pp": (104_704, 5_000.0, 0.855),
    "prompt_random": (76_800, 6_300.0, 0.74),
    "layer_norms": (47_616, 4_850.0, 0.81),
    "intrinsic_said": (20_000, 9_100.0, 0.79),
}
# Task → metrics and number of test examples.
TASKS: dict[str, tuple[tuple[str, ...], int]] = {
    "cola": (("matthews",), 521),
    "sst2": (("accuracy",), 436),
    "mrpc": (("f1", "accuracy"), 204),
    "qqp": (("f1", "accuracy"), 20_215),
    "stsb": (("pearson", "spearman"), 750),
    "mnli": (("accuracy",), 4_907),
    "qnli": (("accuracy",), 2_731),
    "rte": (("accuracy",), 138),
}
ALL_PARAMETERS = 222_903_552


def make_study(
    folder: Path,
    methods: Sequence[str] = ("full", "compacter"),
    tasks: Sequence[str] = ("rte",),
    seeds: Sequence[int] = (0, 1, 2),
    others: Mapping[str, Sequence[Any]] | None = None,
    failed: Sequence[str] = (),
    absent: Sequence[str] = (),
    size: int | None = None,
) -> Path:
    """Write a study.

    Args:
        folder: Its folder.
        methods: Names in `METHODS`.
        tasks: Names in `TASKS`.
        seeds: The seeds.
        others: Further axes with their values.
        failed: Cells that have failed.
        absent: Cells that have not been run.
        size: Examples per task. Default: as many as the task has.
    """
    axes: dict[str, Sequence[Any]] = {"method": methods, "task": tasks, **(others or {}), "seed": seeds}
    cells = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    entries = [cell_entry(values) for values in cells]
    folder.mkdir(parents=True)
    (folder / "cells.json").write_text(json.dumps(entries))
    for number, (entry, values) in enumerate(zip(entries, cells, strict=True)):
        name = entry["name"]
        if name in absent:
            continue
        state = {"cell": name, "state": "finished", "error": None, "seconds": 61.5 + number}
        if name in failed:
            state |= {
                "state": "failed",
                "error": ERROR,
            }
        else:
            make_run(folder / "cells" / name, values, size)
        append_record(folder / "progress.jsonl", state)
    return folder


def cell_entry(values: Values, search: Values | None = None) -> dict[str, Any]:
    """A cell as cells.json has it."""
    name = "-".join(str(value) for value in (*values.values(), *(search or {}).values()))
    fit = ["fit", "--config", f"{values.get('task', 'rte')}.yaml", "--config", f"methods/{values.get('method')}.yaml"]
    fit += [f"--seed_everything={values.get('seed', 42)}", f"--run_name={name}"]
    return {"name": name, "values": dict(values), "search": dict(search or {}), "commands": [fit]}


def make_run(folder: Path, values: Values, size: int | None = None, share: float | None = None) -> None:
    """Write a finished run.

    Args:
        folder: The run folder.
        values: Axis → value.
        size: Examples. Default: as many as the task has.
        share: Share of right answers. Default: the method's, lower with fewer training rows.
    """
    trained, memory, own = METHODS[values.get("method", "compacter")]
    metrics, count = TASKS[values.get("task", "rte")]
    rng = np.random.default_rng(np.frombuffer(json.dumps(dict(values)).encode(), dtype=np.uint8))
    rows = values.get("data.max_train_samples")
    share = share or own - (0 if rows is None else 0.3 / np.sqrt(rows / 50))
    outcomes = make_outcomes(metrics, size or count, share + rng.normal(0, 0.006), rng)
    write_run(folder, values, outcomes, metrics)
    resources: dict[str, Any] = {"trained_parameters": trained, "parameters": ALL_PARAMETERS, "peak_memory_mb": memory}
    resources |= {"seconds": 50.0, "environment": {"machine": "CPU, 2 threads, AVX2", "torch": "2.13.0"}}
    path = folder / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"resources": resources}))
    for step in range(50, 501, 50):
        score = share * (1 - np.exp(-step / 120)) + rng.normal(0, 0.004)
        append_record(folder / "logs/history.jsonl", {"step": step, "epoch": 0, "val/score": score})


def write_run(folder: Path, values: Values, outcomes: Outcomes, metrics: Sequence[str]) -> None:
    """Write the config, the results and the outcomes of a run."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(f"# {dict(values)}\n")
    scores = {f"test/{name}": round(outcomes.score(name).item(), 6) for name in metrics}
    scores |= {"test/score": round(float(np.mean(list(scores.values()))), 6), "test/invalid": 0.0}
    (folder / "metrics.json").write_text(json.dumps({"val/best_score": scores["test/score"]} | scores))
    write_records(folder / "test_predictions.jsonl", outcomes.records())


def make_outcomes(metrics: Sequence[str], count: int, share: float, rng: np.random.Generator) -> Outcomes:
    """Examples whose targets are always the same, and whose predictions are right with a probability of `share`."""
    targets = np.random.default_rng(0)
    rows = torch.arange(count)
    valid = torch.ones(count, dtype=torch.bool)
    if "pearson" in metrics:
        target = targets.integers(0, 26, count) / 5
        predicted = np.round((target + rng.normal(0, 5 * (1 - share), count)) * 5) / 5
        columns = {"prediction": torch.from_numpy(predicted), "target": torch.from_numpy(target)}
        return Outcomes("numbers", rows, rows, valid, columns)
    label = targets.integers(0, 2, count)
    predicted = np.where(targets.random(count) + rng.normal(0, 0.05, count) < share, label, 1 - label)
    columns = {"prediction": torch.from_numpy(predicted), "target": torch.from_numpy(label)}
    return Outcomes("labels", rows, rows, valid, columns, classes=2)
