"""A study of four short cells, and processes that run it."""

import contextlib
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import yaml

from lit_compacter.results.metrics_file import RESOURCES
from lit_compacter.utils.run_files import METRICS, RESULTS
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
    """The scores of each finished cell. What it took differs from run to run."""
    found = {path.parent.name: json.loads(path.read_text()) for path in folder.glob(f"cells/*/{METRICS}")}
    return {cell: {name: metrics[name] for name in metrics if name != RESOURCES} for cell, metrics in found.items()}
