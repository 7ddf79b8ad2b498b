"""The records of predictions.jsonl."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from lit_compacter.tasks.answers import Answer


class Prediction(TypedDict):
    """A record of predictions.jsonl. `prediction` is None if the output is not an answer."""

    row: NotRequired[int]  # row number; records are sorted by it, then it is removed
    split: str
    idx: Any  # the benchmark's number of the row
    source: str
    prediction: Any  # as the leaderboard takes it
    target: NotRequired[Any]  # if it is known
    raw_text: str


def make_predictions(answer: Answer, batch: Mapping[str, Any], texts: Sequence[str]) -> list[Prediction]:
    """One record for each generated text of a batch."""
    columns = (batch["row"], batch["split"], batch["idx"], batch["source"], batch["targets"])
    predictions = []
    for row, split, idx, source, targets, text in zip(*columns, texts, strict=True):
        prediction: Prediction = {
            "row": row,
            "split": split,
            "idx": idx,
            "source": source,
            "prediction": answer.to_submission(text),
            "raw_text": text,
        }
        if targets:
            expected = [answer.to_submission(target) for target in targets]
            prediction["target"] = expected[0] if len(expected) == 1 else expected
        predictions.append(prediction)
    return predictions
