"""Which cells an engine runs, and how their processes start and stop. Ray and SLURM have files of their own."""

import multiprocessing
import re
import sys
from pathlib import Path

import pytest

from lit_compacter.cli.main import main
from lit_compacter.studies.cell import Cell
from lit_compacter.studies.folder import StudyFolder
from lit_compacter.studies.job import Job, run_job
from tests.command_line import error
from tests.studies.engine_runs import NAMES, wait_for


def test_only_the_cells_that_are_named(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*arguments, "--dry_run", "--only", NAMES[1], NAMES[2]])
    assert re.findall(r"--run_name=(\S+)", capsys.readouterr().out) == [NAMES[1]] * 2 + [NAMES[2]] * 2
    message = error(capsys, *arguments, "--only", "method=lora,seed=3")
    assert "the study has no cell method=lora,seed=3; did you mean 'method=lora,seed=" in message


def test_an_engine_that_is_unknown_or_not_installed(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--engine" in error(capsys, *arguments, "--engine", "kubernetes")
    monkeypatch.setitem(sys.modules, "ray", None)  # the import fails
    message = error(capsys, *arguments, "--engine", "ray")
    assert message.endswith("--engine ray needs the library ray: pip install 'lit-compacter[ray]'")
    assert not (tmp_path / "out").exists()


FAKE_CELL = """
import signal, sys, time
from pathlib import Path
folder = Path("{folder}")
folder.mkdir(parents=True, exist_ok=True)
signal.signal(signal.SIGTERM, lambda *_: (folder / "told").touch())  # to save its state takes the rest of the second
with (folder / "calls").open("a") as calls:
    calls.write(sys.argv[1])
time.sleep(1)
(folder / "logs").mkdir(exist_ok=True)
with (folder / "logs/results.jsonl").open("a") as results:
    results.write('{{"verb": "' + sys.argv[1] + '"}}\\n')
"""


@pytest.mark.parametrize("verb", ["fit", "test"])
def test_the_process_of_a_killed_study_is_waited_for(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = Cell("a", {}, ())
    folder = StudyFolder(tmp_path / "out", [cell])
    calls = cell.run_dir(folder.path) / "calls"
    (tmp_path / "fake.py").write_text(FAKE_CELL.format(folder=calls.parent))
    monkeypatch.setattr("lit_compacter.studies.job.ENTRY", tmp_path / "fake.py")
    job = Job(cell, [verb])
    study = multiprocessing.get_context("fork").Process(target=run_job, args=(job, folder, {}, lambda: False))
    study.start()
    wait_for(calls.exists)
    study.kill()
    study.join()
    assert run_job(job, folder, {}, lambda: True).state == "stopped", "waiting can be stopped"
    assert run_job(job, folder, {}, lambda: False).state == "finished"
    assert calls.read_text() == verb, "the process that was left has done it"
    assert (calls.parent / "told").exists() == (sys.platform == "linux")


def test_a_cell_that_is_told_to_stop_before_it_can_listen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fake.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    monkeypatch.setattr("lit_compacter.studies.job.ENTRY", tmp_path / "fake.py")
    cell = Cell("a", {}, ())
    assert run_job(Job(cell, ["fit"]), StudyFolder(tmp_path / "out", [cell]), {}, lambda: False).state == "stopped"
