"""A run that is told to stop ends in one line and a code of its own, with nothing half written and nothing lost."""

import os
import signal
import sys
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from lit_compacter.checkpoints.io import read_checkpoint
from lit_compacter.cli.main import main
from lit_compacter.runtime.signals import EXIT_INTERRUPTED, EXIT_RESUMABLE
from tests.command_line import command, send_signal
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("_project_root")

CODES = {signal.SIGTERM: EXIT_RESUMABLE, signal.SIGUSR1: EXIT_RESUMABLE, signal.SIGINT: EXIT_INTERRUPTED}


def told_to_stop(capsys: pytest.CaptureFixture[str], number: signal.Signals, *args: str) -> str:
    """What a run says that is sent the signal."""
    handlers = [signal.getsignal(n) for n in CODES]
    with pytest.raises(SystemExit) as stopped:
        main(list(args))
    assert stopped.value.code == CODES[number]
    assert [signal.getsignal(n) for n in CODES] == handlers, "the caller's own are back"
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith(f"stopped by {number.name}")
    return told


@pytest.mark.parametrize("number", CODES)
def test_before_training(
    number: signal.Signals, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    send_signal(monkeypatch, "configure_model", number)
    told_to_stop(capsys, number, *command("fit", tmp_path))
    assert not list(tmp_path.iterdir()), "no folder of a run that never began"


# Where the signal comes, and with which options → after which step the run stops.
IN_TRAINING = [
    *(("training_step", number, [], 1) for number in CODES),
    ("validation_step", signal.SIGTERM, [], 2),  # at the epoch's end
    ("validation_step", signal.SIGTERM, ["--trainer.val_check_interval=1", "--save_every_n_steps=9"], 1),
]


@pytest.mark.parametrize(("hook", "number", "options", "step"), IN_TRAINING)
def test_in_training(
    hook: str,
    number: signal.Signals,
    options: list[str],
    step: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send_signal(monkeypatch, hook, number, seconds=0.3)
    told = told_to_stop(capsys, number, *command("fit", tmp_path, "--run_name=run", *options))
    last = tmp_path / "run/checkpoints/last.ckpt"
    assert told.endswith(f" after optimizer step {step}; resume with --ckpt_path {last}")
    state = read_checkpoint(last)
    assert state["global_step"] == step
    (best,) = [callback for name, callback in state["callbacks"].items() if "BestCheckpoint" in name]
    assert (best["best_model_score"] is not None) == (hook == "validation_step"), "the validation was finished"


def test_the_second_interrupt_stops_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    send_signal(monkeypatch, "training_step", signal.SIGINT, times=2)
    told = told_to_stop(capsys, signal.SIGINT, *command("fit", tmp_path, "--run_name=run"))
    assert told.endswith("; what was written before is complete")
    assert not list((tmp_path / "run").glob("checkpoints/*"))


@pytest.mark.parametrize(("verb", "hook"), [("validate", "validation_step"), ("predict", "predict_step")])
def test_in_evaluation(
    verb: str, hook: str, trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name for path in trained.rglob("*")}
    send_signal(monkeypatch, hook, signal.SIGTERM)
    told_to_stop(capsys, signal.SIGTERM, *command(verb, trained.parent, "--run_name=first", "--ckpt_path=best"))
    made = {path.name for path in trained.rglob("*")} - before
    assert made <= {f"config-{verb}.yaml", verb} | {name for name in made if name.startswith("events.")}


def test_while_libraries_are_imported(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("print('waiting', flush=True)\nimport time\ntime.sleep(60)")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    process = Popen([sys.executable, "main.py", "fit"], cwd=ROOT, text=True, stdout=PIPE, stderr=PIPE, env=environment)
    assert process.stdout is not None and process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60) == ("", "stopped by SIGTERM; what was written before is complete\n")
    assert process.returncode == EXIT_RESUMABLE
