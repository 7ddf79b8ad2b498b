"""A search with optuna on the command line."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="needs optuna: pip install 'lit-compacter[optuna]'")

import optuna

from lit_compacter.cli.study import main as study_main
from lit_compacter.errors import UserError
from lit_compacter.results.learning_curve import read_history
from lit_compacter.studies.cell import Cell
from lit_compacter.studies.folder import StudyFolder
from lit_compacter.studies.job import Job, run_job
from lit_compacter.studies.search.trials import OpenTrial
from lit_compacter.utils.run_files import HISTORY
from tests.conftest import ROOT
from tests.studies.fake_search import FACTOR, LR, trials

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

STUDY_FILE = f"""
configs: [demo.yaml]
axes: {{seed: [1, 2]}}
trainer: {{accelerator: cpu, max_epochs: 2, enable_progress_bar: false,
          limit_train_batches: 2, limit_val_batches: 2, limit_test_batches: 2}}
search:
  {LR}: {{low: 1e-4, high: 1e-2, log: true}}
  {FACTOR}: [8, 16]
optuna: {{num_trials: 3, sampler: {{class_path: TPESampler, init_args: {{n_startup_trials: 2}}}}, pruner: MedianPruner}}
"""


@pytest.mark.usefixtures("_project_root")
def test_dry_run_prints_the_first_trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY_FILE)
    study_main([f"--config={file}", f"--output={tmp_path / 's'}", "--dry_run", "--optuna.num_trials=5"])
    commands = capsys.readouterr().out.splitlines()
    assert len(commands) == 4 and "--run_name=seed=1,trial=0" in commands[0] and f"--{LR}=" in commands[0]
    assert not (tmp_path / "s").exists()


@pytest.mark.usefixtures("_project_root")
def test_the_ends_of_ranges_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY_FILE.replace("low: 1e-4, high: 1e-2, log: true", "low: 0.0, high: 1.0"))
    with pytest.raises(UserError, match=r"learning_rate is 0.0; expected a number above 0"):
        study_main([f"--config={file}", f"--output={tmp_path / 's'}"])
    assert not (tmp_path / "s").exists()


def start(*args: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "main.py"), "study", *args]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.soak
def test_a_process_of_a_marked_cell_ends(tmp_path: Path) -> None:
    options = ("--config=demo.yaml", "--trainer.accelerator=cpu", "--trainer.val_check_interval=5")
    cell = Cell("a", {}, options)
    folder = StudyFolder(tmp_path / "s", [cell])
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_job, Job(cell, ("fit", "test")), folder, {"OMP_NUM_THREADS": "1"}, lambda: False)
        while not read_history(cell.run_dir(folder.path)).get("val/score"):
            assert not running.done()
            time.sleep(0.1)
        OpenTrial(optuna.create_study().ask(), [cell], 0, False).prune(folder.path)
        assert running.result(60).state == "pruned"
    assert not cell.has_done(folder.path, "fit")
    assert "stopped by SIGTERM" in folder.log(cell).read_text()


@pytest.mark.soak
def test_a_killed_study_goes_on(tmp_path: Path) -> None:
    file, path = tmp_path / "study.yaml", tmp_path / "s"
    file.write_text(STUDY_FILE)
    args = (f"--config={file}", f"--output={path}", "--jobs=2")
    process = start(*args)
    end = time.monotonic() + 300
    while not (path / "cells" / "seed=1,trial=1" / HISTORY).exists():  # the second trial trains
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.1)
    process.kill()
    process.wait()
    before = trials(path, "all")
    assert [state for _, state, _, _ in before] == ["COMPLETE", "RUNNING"]
    process = start(*args)
    printed = process.communicate(timeout=600)[0]
    assert process.returncode == 0, printed
    after = trials(path, "all")
    assert len(after) == 3 and [trial[2] for trial in after[:2]] == [trial[2] for trial in before]
    assert {state for _, state, _, _ in after} <= {"COMPLETE", "PRUNED"}
    best = max((trial for trial in after if trial[1] == "COMPLETE"), key=lambda trial: trial[3] or 0)
    cells = [Cell(e["name"], e["values"], (), e["search"]) for e in json.loads((path / "cells.json").read_text())]
    assert len(cells) == 6
    assert {cell.name for cell in cells if cell.has_done(path, "test")} == {f"seed={n},trial={best[0]}" for n in (1, 2)}
    again = start(*args)
    assert "6 of 6 finished" in again.communicate(timeout=300)[0]
    assert again.returncode == 0 and trials(path, "all") == after
