"""What a run keeps for a report: the outcome of each example, and what training has taken."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from lit_compacter.cli.main import main
from lit_compacter.module import T5Module
from lit_compacter.results.resources import Resources
from lit_compacter.tasks.answer_metrics import Outcomes
from lit_compacter.utils.jsonl import read_records
from tests.command_line import command

pytestmark = pytest.mark.usefixtures("_project_root")


def metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())  # type: ignore[no-any-return]


def outcomes(folder: Path, name: str = "test_predictions.jsonl") -> Outcomes:
    return Outcomes.from_records(list(read_records(folder / name)))


def test_outcomes_give_the_metrics(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the run itself, and those of other evaluations, in files of their own that their entries name."""
    monkeypatch.setattr(T5Module, "answer", lambda _, batch: ["1" if row % 3 else "what?" for row in batch["row"]])
    same = ["--run_name=first", "--ckpt_path=best"]
    for limit in ("3", "3", "4"):
        main(command("test", trained.parent, *same, f"--trainer.limit_test_batches={limit}"))
    main(command("test", trained.parent, *same))
    found = metrics(trained)
    assert float(outcomes(trained).score("accuracy")) == pytest.approx(found["test/accuracy"], abs=1e-6)
    assert 0.1 < found["test/accuracy"] < 0.6 and 0.2 < found["test/invalid"] < 0.5
    assert float(outcomes(trained).score("invalid")) == pytest.approx(found["test/invalid"], abs=1e-6)
    others = [(entry["data"]["test"]["limit_test_batches"], entry["predictions"]) for entry in found["evaluations"]]
    assert others == [(3, "test_predictions-2.jsonl"), (4, "test_predictions-3.jsonl")]
    for entry in found["evaluations"]:
        score = float(outcomes(trained, entry["predictions"]).score("accuracy"))
        assert score == pytest.approx(entry["metrics"]["test/accuracy"], abs=1e-6)
    rows = outcomes(trained).rows.tolist()
    assert rows == sorted(set(rows)) and len(rows) < len(outcomes(trained, "test_predictions-2.jsonl").rows)
    assert [
        entry["predictions"] for entry in read_records(trained / "logs/results.jsonl") if entry["verb"] == "test"
    ] == [
        *["test_predictions-2.jsonl"] * 2,
        "test_predictions-3.jsonl",
        "test_predictions.jsonl",
    ]


def test_resources_of_a_fit(trained: Path) -> None:
    found = metrics(trained)["resources"]
    (logged,) = (entry["resources"] for entry in read_records(trained / "logs/results.jsonl"))
    assert logged == found
    assert (found["trained_parameters"], found["parameters"]) == (6_176, 1_162_016)
    assert found["environment"]["machine"] and 100 < found["peak_memory_mb"] < 100_000
    assert 0 < found["seconds"] < 300


def test_the_seconds_of_a_resumed_run_are_of_all_its_starts() -> None:
    """A checkpoint holds the seconds up to it."""
    first = Resources()
    first.began = time.monotonic() - 100
    second = Resources()
    second.load_state_dict(first.state_dict())
    assert second.seconds == pytest.approx(100, abs=1)
    second.began = time.monotonic() - 20
    assert second.seconds == pytest.approx(120, abs=1)
