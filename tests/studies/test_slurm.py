"""Cells as SLURM jobs: their scripts, and what their tasks do when they are told to stop."""

import json
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from lit_compacter.cli.main import main
from lit_compacter.runtime.signals import EXIT_RESUMABLE
from lit_compacter.utils.jsonl import append_record
from lit_compacter.utils.run_files import METRICS, RESULTS
from tests.command_line import SLURM
from tests.studies.engine_runs import NAMES, SEARCH, make_arguments, wait_for


@pytest.fixture
def _unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The options of cells are not parsed, which takes a second."""
    monkeypatch.setattr("lit_compacter.cli.study.check", lambda cells: None)


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the program scontrol was called with."""
    record = tmp_path / "scontrol.txt"
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "scontrol"
    program.write_text(f'#!/bin/sh\necho "$@" >> {shlex.quote(str(record))}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return record


def start_task(script: Path, index: int) -> subprocess.Popen[bytes]:
    """A task of an array job, in a job of several processes."""
    task = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(index), "SLURM_JOB_ID": "8", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(["bash", script], env=os.environ | SLURM | task, start_new_session=True)


def check_script(script: Path) -> str:
    subprocess.run(["bash", "-n", script], check=True)
    return script.read_text()


@pytest.mark.usefixtures("_unchecked")
def test_slurm_scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*make_arguments(tmp_path), "--engine", "slurm", "--jobs=2", "--slurm_options", "--gres=gpu:1 --time=9"]
    main(arguments)
    script = tmp_path / "out/slurm/cells.sh"
    assert capsys.readouterr().out.splitlines()[-1] == f"submit the cells with: sbatch {script}"
    directives = re.findall("^#SBATCH (.*)", check_script(script), re.MULTILINE)
    assert directives[-1] == "--gres=gpu:1 --time=9"
    assert {"--array=0-3%2", "--requeue", "--signal=B:USR1@120"} < {*directives}
    assert f"--output={tmp_path}/out/logs/slurm-%j.out" in directives and (tmp_path / "out/logs").is_dir()
    assert not (tmp_path / "out/slurm/rest.sh").exists()

    main([*arguments, "--only", NAMES[3]])
    assert "--array=0-0%2" in check_script(script)


@pytest.mark.usefixtures("_unchecked")
def test_slurm_scripts_of_a_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*make_arguments(tmp_path, **SEARCH), "--engine=slurm"]
    main(arguments)
    cells, rest = (tmp_path / "out/slurm" / name for name in ("cells.sh", "rest.sh"))
    printed = capsys.readouterr().out.splitlines()[-1]
    submit = f"sbatch --dependency=afterany:$(sbatch --parsable {cells} | cut -d ';' -f 1) {rest}"
    assert printed == f"submit the cells with: {submit}"
    assert "#SBATCH --array=0-7\n" in check_script(cells)
    text = check_script(rest)
    assert "--array" not in text and "--only" not in text and 'scontrol requeue "$SLURM_JOB_ID"' in text

    main([*arguments, "--only", f"{NAMES[0]},learning_rate=0.01"])
    assert capsys.readouterr().out.splitlines()[-1] == f"submit the cells with: sbatch {cells}"
    for entry in json.loads((tmp_path / "out/cells.json").read_text()):
        run_dir = tmp_path / "out/cells" / entry["name"]
        append_record(run_dir / RESULTS, {"verb": "fit"})
        (run_dir / METRICS).write_text('{"val/best_score": 0.5}')
    main(arguments)
    assert capsys.readouterr().out.splitlines()[-1] == f"submit the cells with: sbatch {rest}", "all are trained"


FAKE_STUDY = f"""#!/bin/sh
echo "$@" > {{started}}.part
trap 'exit {EXIT_RESUMABLE}' USR1 TERM
mv {{started}}.part {{started}}
for _ in $(seq 600); do sleep 0.05; done
"""


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_slurm_task_is_requeued_before_its_time_limit(
    number: signal.Signals, tmp_path: Path, scontrol: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, started = tmp_path / "bin" / "python", tmp_path / "started"
    fake.write_text(FAKE_STUDY.format(started=started))
    fake.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(fake))
    arguments = make_arguments(tmp_path)
    main([*arguments, "--engine=slurm"])
    task = start_task(tmp_path / "out/slurm/cells.sh", 2)
    wait_for(started.exists)
    assert started.read_text().split()[1:] == [*arguments, "--only", NAMES[2]]
    task.send_signal(number)
    assert task.wait(30) == EXIT_RESUMABLE
    if number == signal.SIGUSR1:
        assert scontrol.read_text() == "requeue 7_2\n"
    else:  # of scancel
        assert not scontrol.exists()


@pytest.mark.usefixtures("_unchecked")
def test_a_slurm_task_that_fails_is_not_requeued(
    tmp_path: Path, scontrol: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "false")
    main([*make_arguments(tmp_path), "--engine=slurm"])
    assert start_task(tmp_path / "out/slurm/cells.sh", 0).wait(30) == 1
    assert not scontrol.exists()


@pytest.mark.soak
def test_a_slurm_task_saves_its_state_and_goes_on(tmp_path: Path, scontrol: Path) -> None:
    main([*make_arguments(tmp_path), "--engine=slurm"])
    script, run_dir = tmp_path / "out/slurm/cells.sh", tmp_path / "out/cells" / NAMES[3]
    task = start_task(script, 3)
    wait_for((run_dir / "logs").is_dir)
    task.send_signal(signal.SIGUSR1)
    assert task.wait(60) == EXIT_RESUMABLE
    assert scontrol.read_text() == "requeue 7_3\n"
    assert start_task(script, 3).wait(120) == 0
    assert {"val/best_score", "test/score"} < {*json.loads((run_dir / METRICS).read_text())}
    assert [path.name for path in (tmp_path / "out/cells").iterdir()] == [NAMES[3]]
