"""The command line for tests: a quick run on the embedded default."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lit_compacter.cli.main import main
from lit_compacter.module import T5Module
from tests.conftest import ROOT

QUICK = [
    *("--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"),
    *(f"--trainer.limit_{stage}_batches=2" for stage in ("train", "val", "test", "predict")),
]

# What srun gives the first of two processes.
SLURM = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "job", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}
SLURM |= {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}


def command(verb: str, root: Path, *more: str) -> list[str]:
    """The arguments of `verb` on demo.yaml, cut short, with runs under `root`."""
    return [verb, "--config", "demo.yaml", *QUICK, f"--trainer.default_root_dir={root}", *more]


def run_cli(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """The real command line in a real process, from the project's root."""
    process = [sys.executable, str(ROOT / "main.py"), *args]
    return subprocess.run(process, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False, **options)


def error(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """The one line that a user's mistake gives."""
    with pytest.raises(SystemExit) as stopped:
        main(list(args))
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert not any(line.startswith("Traceback") for line in lines)
    assert sum(line.startswith("error: ") for line in lines) == 1 and lines[-1].startswith("error: ")
    return lines[-1]


def send_signal(
    monkeypatch: pytest.MonkeyPatch, hook: str, number: signal.Signals, times: int = 1, seconds: float = 0
) -> None:
    """Send this process a signal whenever the module's `hook` is called, which then takes so many seconds."""
    unchanged = getattr(T5Module, hook)

    def send(module: T5Module, *args: Any, **options: Any) -> Any:
        for _ in range(times):
            os.kill(os.getpid(), number)
        time.sleep(seconds)
        return unchanged(module, *args, **options)

    monkeypatch.setattr(T5Module, hook, send)


def losses(folder: Path, version: int = 0) -> dict[int, float]:
    """The training loss of each optimizer step that a start of the run has logged."""
    with (folder / f"logs/fit/csv/version_{version}/metrics.csv").open(newline="") as file:
        return {int(row["step"]): float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]}


def only_folder(root: Path) -> Path:
    (folder,) = root.iterdir()
    return folder
