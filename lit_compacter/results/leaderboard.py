"""The files that the leaderboards of GLUE and SuperGLUE take."""

import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from lit_compacter.results.run_dir import free_path
from lit_compacter.tasks import Task
from lit_compacter.utils.atomic import written_whole

Record: TypeAlias = dict[str, Any]  # as `T5Module.predict_step` makes it


def write_leaderboard(folder: Path, task: Task, read: Callable[[], Iterable[Record]], majority: str) -> list[Path]:
    """Write one file for each of the task's unlabelled official splits.

    Args:
        folder: Where to.
        task: Whose `leaderboard` names the files.
        read: Gives the predictions in official order, from the first; one is None where the output is no answer.
        majority: Target text that is written in place of such an output.

    Returns:
        The files.
    """
    if not task.leaderboard:
        return []
    fallback = task.answer.official(majority)
    if fallback is None:  # the model was trained on other labels
        fallback = task.answer.official(task.answer.default)
    invalid = [record["prediction"] is None for record in read()]
    if any(invalid):
        warnings.warn(
            f"{sum(invalid)} of {len(invalid)} outputs are no answer: the leaderboard's file has {fallback!r} for them",
            stacklevel=2,
        )
    paths = []
    for split, name in task.leaderboard.items():
        answers = [
            (r["idx"], fallback if r["prediction"] is None else r["prediction"]) for r in read() if r["split"] == split
        ]
        path = free_path(folder / name)
        lines = _tsv(answers) if path.suffix == ".tsv" else _jsonl(answers)
        with written_whole(path) as temporary:
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
