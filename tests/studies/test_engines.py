"""The same cells on this machine, on a Ray cluster and as SLURM jobs, whatever is killed meanwhile."""

import contextlib
import json
import multiprocessing
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import yaml

from lit_compacter.cli.main import main
from lit_compacter.runtime.signals import EXIT_RESUMABLE
from lit_compacter.studies.cell import Cell
from lit_compacter.studies.folder import StudyFolder
from lit_compacter.studies.job import Job, run_job
from lit_compacter.utils.jsonl import append_record
from lit_compacter.utils.run_files import METRICS, RESULTS
from tests.command_line import SLURM, error
from tests.conftest import ROOT

NAMES = ["method=compacter,seed=1", "method=compacter,seed=2", "method=lora,seed=1", "method=lora,seed=2"]
STUDY = {
    "configs": ["demo.yaml"],
    "axes": {"method": ["compacter", "lora"], "seed": [1, 2]},
    "trainer": {
        "accelerator": "cpu",
        "max_epochs": 1,
        "enable_progress_bar": False,
        "limit_train_batches": 20,
        "limit_val_batches": 2,
        "limit_test_batches": 2,
    },
    "overrides": {"seed": {seed: {"save_every_n_steps": 1} for seed in (1, 2)}},
}
SEARCH = {"search": {"model.learning_rate": [0.01, 0.001]}}
TAG = "STUDY_OF_TEST"  # a variable in the environment of all processes of a study

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the optional library ray is not installed")


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """The arguments of a study of four short cells."""
    return make_arguments(tmp_path)


def make_arguments(folder: Path, **more: object) -> list[str]:
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(STUDY | more))
    return ["study", "--config", str(file), "--output", str(folder / "out")]


class Process(contextlib.AbstractContextManager["Process"]):
    """A process of the command line, and all that it starts, anywhere. Nothing of it outlives a test that fails."""

    def __init__(self, arguments: list[str], **env: str) -> None:
        self.tag = uuid.uuid4().hex
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        environment |= {"OMP_NUM_THREADS": "1", TAG: self.tag, **env}
        self.popen = subprocess.Popen(
            [sys.executable, "main.py", *arguments],
            cwd=ROOT,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def __exit__(self, *error: object) -> None:
        for process in processes(TAG, self.tag):
            process.kill()

    def end(self) -> tuple[int, str, str]:
        """Its exit code, and what it printed."""
        output, errors = self.popen.communicate(timeout=900)
        return self.popen.returncode, output, errors

    def left(self) -> list[psutil.Process]:
        """The processes that run, but for the first."""
        return [process for process in processes(TAG, self.tag) if process.pid != self.popen.pid]


def processes(variable: str, value: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get(variable) == value:
                yield process
        except psutil.Error:  # it has ended, or is a zombie
            continue


def wait_for(what: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def training(study: Process, folder: Path) -> list[psutil.Process]:
    """The processes of cells that have a checkpoint and train on."""
    names = [path.parents[1].name for path in folder.glob("cells/*/checkpoints/last.ckpt")]
    names = [name for name in names if not (folder / "cells" / name / RESULTS).exists()]
    wanted = {f"--run_name={name}" for name in names}
    found = []
    for process in study.left():
        try:
            if wanted & {*process.cmdline()} and "fit" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def results(folder: Path) -> dict[str, object]:
    return {path.parent.name: json.loads(path.read_text()) for path in folder.glob(f"cells/*/{METRICS}")}


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


@needs_ray
def test_a_cluster_that_does_not_answer(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # and does not listen
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{listener.getsockname()[1]}")
        message = error(capsys, *arguments, "--engine=ray")
    assert "cannot use the Ray cluster of RAY_ADDRESS=127.0.0.1:" in message and "Connection refused" in message


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


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The results of the local engine."""
    folder = tmp_path_factory.mktemp("local")
    with Process([*make_arguments(folder), "--jobs=2"]) as study:
        code, _, errors = study.end()
    assert code == 0, errors
    return results(folder / "out")


def result_of(study: Process) -> tuple[int, str]:
    code, printed, errors = study.end()
    assert not study.left()
    return code, printed + errors


@needs_ray
@pytest.mark.soak
def test_ray_tries_a_cell_again(tmp_path: Path, expected: dict[str, object]) -> None:
    out = tmp_path / "out"
    with Process([*make_arguments(tmp_path), "--engine=ray", "--jobs=2"]) as study:
        wait_for(lambda: training(study, out))
        killed = training(study, out)[0]
        killed.parent().kill()  # the worker
        wait_for(lambda: not killed.is_running() and training(study, out))
        training(study, out)[0].terminate()  # as on a machine that is taken away
        code, printed = result_of(study)
    assert code == 0, printed
    assert "4 of 4 finished" in printed
    assert results(out) == expected


@needs_ray
@pytest.mark.soak
def test_a_stopped_or_killed_study_goes_on_with_ray(tmp_path: Path, expected: dict[str, object]) -> None:
    command, out = [*make_arguments(tmp_path), "--engine=ray", "--jobs=2"], tmp_path / "out"
    with Process(command) as study:
        wait_for(lambda: training(study, out))
        study.popen.terminate()
        code, printed = result_of(study)
    assert code == EXIT_RESUMABLE
    assert "stopped by SIGTERM" in printed and "of 4 finished; the same command goes on" in printed
    with Process(command) as study:
        wait_for(lambda: training(study, out))
        study.popen.kill()
        study.end()
        wait_for(lambda: not study.left())
    assert len(results(out)) < 4
    with Process(command) as study:
        code, printed = result_of(study)
    assert code == 0, printed
    assert results(out) == expected
