"""A run that is told to stop ends in one line and a code of its own, with nothing half written and nothing lost."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from lit_compacter import checkpoint
from lit_compacter.cli import main
from lit_compacter.module import T5Module
from lit_compacter.stopping import INTERRUPTED, STOPPED
from tests.cli import command

pytestmark = pytest.mark.usefixtures("_project_root")

CODES = {signal.SIGTERM: STOPPED, signal.SIGUSR1: STOPPED, signal.SIGINT: INTERRUPTED}


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


def send_at(monkeypatch: pytest.MonkeyPatch, hook: str, number: signal.Signals, times: int = 1) -> None:
    """The process is told to stop when the module's `hook` is called."""
    unchanged = getattr(T5Module, hook)

    def send(module: T5Module, *args: Any, **options: Any) -> Any:
        for _ in range(times):
            os.kill(os.getpid(), number)
        return unchanged(module, *args, **options)

    monkeypatch.setattr(T5Module, hook, send)


@pytest.mark.parametrize("number", CODES)
def test_before_training(
    number: signal.Signals, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    send_at(monkeypatch, "configure_model", number)
    told_to_stop(capsys, number, *command("fit", tmp_path))
    assert not list(tmp_path.iterdir()), "no folder of a run that never began"


@pytest.mark.parametrize("number", CODES)
def test_in_training(
    number: signal.Signals, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    send_at(monkeypatch, "training_step", number)
    told = told_to_stop(capsys, number, *command("fit", tmp_path, "--run_name=run"))
    last = tmp_path / "run/checkpoints/last.ckpt"
    assert told.endswith(f" after optimizer step 1; go on with --ckpt_path {last}")
    assert checkpoint.read(last)["global_step"] == 1


def test_the_second_interrupt_stops_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    send_at(monkeypatch, "training_step", signal.SIGINT, times=2)
    told = told_to_stop(capsys, signal.SIGINT, *command("fit", tmp_path, "--run_name=run"))
    assert told.endswith("; what was written before is whole")
    assert not list((tmp_path / "run").glob("checkpoints/*"))


@pytest.mark.parametrize(("verb", "hook"), [("validate", "validation_step"), ("predict", "predict_step")])
def test_in_evaluation(
    verb: str, hook: str, trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name for path in trained.rglob("*")}
    send_at(monkeypatch, hook, signal.SIGTERM)
    told_to_stop(capsys, signal.SIGTERM, *command(verb, trained.parent, "--run_name=first", "--ckpt_path=best"))
    made = {path.name for path in trained.rglob("*")} - before
    assert made <= {"config-2.yaml", verb} | {name for name in made if name.startswith("events.")}
