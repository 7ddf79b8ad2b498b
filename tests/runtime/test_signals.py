"""A run that is told to stop ends in one line and a code of its own, with nothing half written and nothing lost."""

import os
import signal
import sys
import time
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest

from lit_compacter.checkpoints import format as checkpoint
from lit_compacter.cli.main import main
from lit_compacter.module import T5Module
from lit_compacter.runtime.signals import INTERRUPTED, STOPPED
from tests.command_line import command
from tests.conftest import ROOT

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


def send_at(
    monkeypatch: pytest.MonkeyPatch, hook: str, number: signal.Signals, times: int = 1, seconds: float = 0
) -> None:
    """The process is told to stop when the module's `hook` is called, which then takes so many seconds."""
    unchanged = getattr(T5Module, hook)

    def send(module: T5Module, *args: Any, **options: Any) -> Any:
        for _ in range(times):
            os.kill(os.getpid(), number)
        time.sleep(seconds)
        return unchanged(module, *args, **options)

    monkeypatch.setattr(T5Module, hook, send)


@pytest.mark.parametrize("number", CODES)
def test_before_training(
    number: signal.Signals, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    send_at(monkeypatch, "configure_model", number)
    told_to_stop(capsys, number, *command("fit", tmp_path))
    assert not list(tmp_path.iterdir()), "no folder of a run that never began"


# Where the signal comes, and with which options → after which step the run stops.
IN_TRAINING = [
    *(("training_step", number, [], 1) for number in CODES),
    ("validation_step", signal.SIGTERM, [], 2),  # at the epoch's end
    ("validation_step", signal.SIGTERM, ["--trainer.val_check_interval=1", "--save_every=9"], 1),
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
    monkeypatch.setattr("lit_compacter.runtime.signals.PATIENCE", 0.1)
    send_at(monkeypatch, hook, number, seconds=0.3)
    told = told_to_stop(capsys, number, *command("fit", tmp_path, "--run_name=run", *options))
    last = tmp_path / "run/checkpoints/last.ckpt"
    assert told.endswith(f" after optimizer step {step}; go on with --ckpt_path {last}")
    state = checkpoint.read(last)
    assert state["global_step"] == step
    (best,) = [callback for name, callback in state["callbacks"].items() if "BestCheckpoint" in name]
    assert (best["best_model_score"] is not None) == (hook == "validation_step"), "the validation was finished"


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
    assert made <= {f"config-{verb}.yaml", verb} | {name for name in made if name.startswith("events.")}


TOLD = "stopped by SIGTERM; what was written before is whole\n"
DEAF = """
from torch.distributed import TCPStore
from lit_compacter.runtime import signals as stopping
stopping.PATIENCE = 0.5
with stopping.stoppable():
    stopping.BEFORE_A_SUDDEN_END.append(lambda: print("the others are told", flush=True))
    print("waiting", flush=True)
    TCPStore("127.0.0.1", 0, world_size=2, is_master=True, wait_for_workers=True)
"""


def stopped_while_waiting(*words: str, **options: Any) -> tuple[str, str]:
    """What a process says that is told to stop after it has said that it waits."""
    process = Popen([sys.executable, *words], cwd=ROOT, text=True, stdout=PIPE, stderr=PIPE, **options)
    assert process.stdout is not None and process.stdout.readline() == "waiting\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=60)
    assert process.returncode == STOPPED
    return told


def test_while_it_waits_for_other_processes() -> None:
    """In C++, where Python's handlers are not called."""
    assert stopped_while_waiting("-c", DEAF) == ("the others are told\n", TOLD)


def test_while_libraries_are_imported(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("print('waiting', flush=True)\nimport time\ntime.sleep(60)")
    assert stopped_while_waiting("main.py", "fit", env=os.environ | {"PYTHONPATH": str(tmp_path)}) == ("", TOLD)
