"""Write files for the leaderboards of GLUE and SuperGLUE."""

import json
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lit_compacter.results.run_dir import free_path
from lit_compacter.tasks import Task
from lit_compacter.tasks.predictions import Prediction
from lit_compacter.utils.atomic import atomic_write


def write_leaderboard(run_dir: Path, task: Task, records: Sequence[Prediction], majority_target: str) -> list[Path]:
    """Write one file for each of the task's unlabeled official splits.

    Args:
        run_dir: Where to write.
        task: Its `leaderboard` names the files.
        records: The predictions in official order. A prediction is None if the output is not an answer.
        majority_target: Target text that is written for such an output.

    Returns:
        The files.
    """
    if not task.leaderboard:
        return []
    fallback = task.answer.to_submission(majority_target)
    if fallback is None:  # the model was trained on other labels
        fallback = task.answer.to_submission(task.answer.default_target)
    if num_invalid := sum(record["prediction"] is None for record in records):
        warnings.warn(
            f"{num_invalid} of {len(records)} outputs are not an answer: the leaderboard's file has {fallback!r} for "
            "them",
            stacklevel=2,
        )
    paths = []
    for split, name in task.leaderboard.items():
        answers = [
            (record["idx"], fallback if record["prediction"] is None else record["prediction"])
            for record in records
            if record["split"] == split
        ]
        path = free_path(run_dir / name)
        lines = _tsv(answers) if path.suffix == ".tsv" else _jsonl(answers)
        with atomic_write(path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        paths.append(path)
    return paths


def _tsv(answers: Iterable[tuple[int, Any]]) -> Iterable[str]:
    yield "index\tprediction"
    for idx, answer in answers:
        yield f"{idx}\t{answer:.3f}" if isinstance(answer, float) else f"{idx}\t{answer}"


def _jsonl(answers: Sequence[tuple[Any, Any]]) -> Iterable[str]:
    nested = any(isinstance(idx, dict) for idx, _ in answers)
    objects = _nested(answers) if nested else [{"idx": idx, "label": answer} for idx, answer in answers]
    return (json.dumps(line, ensure_ascii=False) for line in objects)


def _nested(answers: Iterable[tuple[dict[str, int], Any]]) -> list[dict[str, Any]]:
    """MultiRC's form: paragraphs with questions with answers."""
    paragraphs: dict[int, dict[int, list[dict[str, Any]]]] = {}
    for idx, answer in answers:
        questions = paragraphs.setdefault(idx["paragraph"], {})
        questions.setdefault(idx["question"], []).append({"idx": idx["answer"], "label": answer})
    return [
        {"idx": paragraph, "passage": {"questions": [{"idx": q, "answers": a} for q, a in questions.items()]}}
        for paragraph, questions in paragraphs.items()
    ]
