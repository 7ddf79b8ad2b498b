"""Running the cells of a study: what is skipped, resumed, stopped, reported and refused."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from lit_compacter.errors import UserError
from lit_compacter.results.run_dir import LOCK
from lit_compacter.studies import job
from lit_compacter.studies.engines import LocalEngine
from lit_compacter.studies.folder import VERBS, StudyFolder
from lit_compacter.studies.job import Job, run_job
from lit_compacter.studies.run import run_study
from lit_compacter.studies.search.grid_search import Grid, GridSearch
from lit_compacter.studies.study import Study
from lit_compacter.utils.jsonl import append_record, read_records
from lit_compacter.utils.run_files import RESULTS
from tests.conftest import ROOT

FAKE = Path(__file__).with_name("fake_program.py")


@pytest.fixture(autouse=True)
def _fake_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "ENTRY", FAKE)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def study(path: Path, behavior: dict[str, str] | None = None, num_jobs: int = 1, **options: Any) -> StudyFolder:
    """Run a study with the fake program."""
    defaults: dict[str, Any] = {"axes": {"seed": [1, 2, 3]}}
    folder = StudyFolder(path, Study(**(defaults | options)).cells())
    os.environ["BEHAVIOR"] = json.dumps(behavior or {})
    try:
        run_study((GridSearch if options.get("search") else Grid)(folder), LocalEngine(num_jobs))
    finally:
        del os.environ["BEHAVIOR"]
    return folder


def calls(folder: StudyFolder) -> dict[str, list[str]]:
    """Cell → the verbs that were run."""
    return {
        cell.name: [record["verb"] for record in read_records(cell.run_dir(folder.path) / "calls.jsonl")]
        for cell in folder.cells
    }


@pytest.mark.parametrize("num_jobs", [1, 3])
def test_each_cell_is_trained_and_tested_once(num_jobs: int, tmp_path: Path) -> None:
    for _ in range(2):
        folder = study(tmp_path / "study", num_jobs=num_jobs)
        assert calls(folder) == {f"seed={seed}": ["fit", "test"] for seed in (1, 2, 3)}
    records = list(read_records(folder.progress))
    assert sorted(record["cell"] for record in records) == ["seed=1", "seed=2", "seed=3"]
    assert {record["state"] for record in records} == {"finished"}


def test_warnings_are_repeated_once_at_the_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # the second time, nothing is left to run
        study(tmp_path / "study", {"seed=1": "warn", "seed=3": "warn"})
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
        assert lines == ["warning: seed 1, 3: too short"]


def test_a_test_of_other_rows_by_hand_is_not_the_cells(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "study", Study(axes={"seed": [1]}).cells())
    append_record(folder.cells[0].run_dir(folder.path) / RESULTS, {"verb": "test", "is_own": False})
    assert calls(study(tmp_path / "study", axes={"seed": [1]})) == {"seed=1": ["fit", "test"]}


def test_cells_at_a_time_share_the_cores_and_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 6)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    folder = study(tmp_path / "study", num_jobs=3)
    paths = [cell.run_dir(folder.path) / "calls.jsonl" for cell in folder.cells]
    seen = [[(r["OMP_NUM_THREADS"], r["CUDA_VISIBLE_DEVICES"]) for r in read_records(path)] for path in paths]
    assert sorted(seen) == [[("2", "4")] * 2, [("2", "4")] * 2, [("2", "7")] * 2]


@pytest.mark.parametrize(
    ("behavior", "message"),
    [
        ("fail", "seed=2: fit: the loss is nan at step 3; lower model.learning_rate"),
        ("crash", "seed=2: fit: its process was killed by SIGKILL, perhaps for lack of memory"),
    ],
)
def test_a_failed_cell_is_reported_and_tried_again(behavior: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="1 of 3 cells failed") as raised:
        study(tmp_path / "study", {"seed=2": behavior})
    assert message in str(raised.value) and "the same command tries them again" in str(raised.value)
    folder = study(tmp_path / "study")
    assert calls(folder) == {"seed=1": ["fit", "test"], "seed=2": ["fit", "fit", "test"], "seed=3": ["fit", "test"]}
    states = [(record["cell"], record["state"]) for record in read_records(folder.progress)]
    assert ("seed=2", "failed") in states and states[-1] == ("seed=2", "finished")


def test_stop_ends_the_running_cell_and_starts_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEHAVIOR", json.dumps({"seed=1": "wait"}))
    folder = StudyFolder(tmp_path / "study", Study(axes={"seed": [1, 2]}).cells())
    stop = threading.Event()
    job = Job(folder.cells[0], VERBS)
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(run_job(job, folder, {}, stop.is_set)))
    thread.start()
    while not (folder.cells[0].run_dir(folder.path) / "waiting").exists():
        time.sleep(0.05)
    stop.set()
    thread.join()
    assert outcomes[0].state == "stopped" and outcomes[0].error is None
    assert run_job(Job(folder.cells[1], VERBS), folder, {}, stop.is_set).state == "stopped"
    assert calls(folder) == {"seed=1": ["fit"], "seed=2": []}


def test_a_search_tests_the_best_combination_over_seeds(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "axes": {"method": ["lora"], "seed": [1, 2]},
        "search": {"model.learning_rate": [0.1, 0.3, 0.2]},
    }
    folder = study(tmp_path / "study", **options)
    tested = [cell for cell, verbs in calls(folder).items() if verbs == ["fit", "test"]]
    assert tested == ["method=lora,seed=1,learning_rate=0.3", "method=lora,seed=2,learning_rate=0.3"]
    assert sum(verbs == ["fit"] for verbs in calls(folder).values()) == 4
    assert calls(study(tmp_path / "study", **options)) == calls(folder)


def test_a_combination_without_all_seeds_is_not_chosen(tmp_path: Path) -> None:
    options: dict[str, Any] = {"axes": {"seed": [1, 2]}, "search": {"model.learning_rate": [0.1, 0.3]}}
    with pytest.raises(UserError, match="1 of 4 cells failed"):
        study(tmp_path / "study", {"seed=2,learning_rate=0.3": "fail"}, **options)
    folder = StudyFolder(tmp_path / "study", Study(**options).cells())
    assert [cell for cell, verbs in calls(folder).items() if "test" in verbs] == [
        "seed=1,learning_rate=0.1",
        "seed=2,learning_rate=0.1",
    ]
    study(tmp_path / "study", **options)
    chosen = json.loads((tmp_path / "study/chosen.json").read_text())
    assert chosen == ["seed=1,learning_rate=0.3", "seed=2,learning_rate=0.3"], "once all have finished"


def test_a_search_without_anything_to_test_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = Study(axes={"method": ["lora"], "seed": [1]}, search={"model.learning_rate": [0.1, 0.3]}).cells()
    folder = StudyFolder(tmp_path / "study", cells)
    for cell in cells:
        (mark := cell.prune_mark(folder.path)).parent.mkdir(exist_ok=True)
        mark.touch()
    run_study(GridSearch(folder), LocalEngine())
    assert "method=lora: nothing to test, as each combination has a cell that was pruned" in capsys.readouterr().out


def test_a_search_needs_validation(tmp_path: Path) -> None:
    options: dict[str, Any] = {"axes": {"seed": [1, 2]}, "search": {"model.learning_rate": [0.1]}}
    with pytest.raises(UserError, match=r"seed=1,learning_rate=0.1 has no val/best_score; a search needs validation"):
        study(tmp_path / "study", {"seed=1,learning_rate=0.1": "no validation"}, **options)


def test_another_study_is_refused_and_more_cells_are_added(tmp_path: Path) -> None:
    study(tmp_path / "study")
    with pytest.raises(UserError, match=r"seed=1 differs in --trainer\.max_epochs=3; give a new --output"):
        study(tmp_path / "study", trainer={"max_epochs": 3})
    with pytest.raises(UserError, match="holds another study, with the cell seed=2"):
        study(tmp_path / "study", axes={"seed": [1]})
    folder = study(tmp_path / "study", axes={"seed": [1, 2, 3, 4]})
    assert calls(folder) == {f"seed={seed}": ["fit", "test"] for seed in (1, 2, 3, 4)}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(UserError, match="holds other files, and no study"):
        study(tmp_path / "other")


@pytest.mark.soak
def test_sigterm_stops_a_study(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from lit_compacter.runtime.signals import handle_stop_signals
from lit_compacter.studies import job
from lit_compacter.studies.engines import LocalEngine
from lit_compacter.studies.folder import StudyFolder
from lit_compacter.studies.run import run_study
from lit_compacter.studies.search.grid_search import Grid
from lit_compacter.studies.study import Study
job.ENTRY = Path({str(FAKE)!r})
with handle_stop_signals():
    cells = Study(axes={{"seed": [1, 2]}}).cells()
    run_study(Grid(StudyFolder(Path({str(tmp_path / "study")!r}), cells)), LocalEngine())
"""
    env = os.environ | {"BEHAVIOR": json.dumps({"seed=1": "wait"})}
    process = subprocess.Popen([sys.executable, "-c", script], env=env, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    run_dir = tmp_path / "study" / "cells" / "seed=1"
    while not (run_dir / "waiting").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, printed = process.communicate(timeout=30)
    assert process.returncode == 75
    line = printed.strip().splitlines()[-1]
    assert line.startswith("stopped by SIGTERM") and "0 of 2 finished" in line and "the same command goes on" in line
    (record,) = read_records(tmp_path / "study" / "progress.jsonl")
    assert record["state"] == "stopped"
    with FileLock(run_dir / LOCK, timeout=0):  # its process has ended
        pass
