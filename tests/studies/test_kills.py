"""A study that is killed, and one on Ray with a killed worker: the same tables as of one that is never stopped."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lit_compacter.utils.jsonl import read_records
from tests.conftest import ROOT, shared

pytestmark = pytest.mark.soak

STUDY = """
axes:
  method: [compacter, full]
  task: [rte, mrpc]
  data.max_train_samples: [32, 64]
  seed: [1, 2]
trainer:
  accelerator: cpu
  max_epochs: 2
  limit_val_batches: 2
  limit_test_batches: 2
  enable_progress_bar: false
data:
  data_dir: {glue}
  batch_size: 8
model:
  model_name: {model}
  warmup_steps: 2
"""
NUM_CELLS = 16
TABLES = ("tables.md", "tables.csv", "tables.tex")


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "study.yaml"
    path.write_text(STUDY.format(glue=shared("data", "glue"), model=shared("t5-mini")))
    return path


@pytest.fixture(scope="module")
def tables(study_file: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The tables of a study that is never stopped."""
    output = tmp_path_factory.mktemp("whole") / "study"
    assert start(study_file, output).wait() == 0
    return report(output)


def start(study_file: Path, output: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "main.py", "study", f"--config={study_file}", f"--output={output}", *options]
    return subprocess.Popen([*command, "--jobs=2"], cwd=ROOT)


def report(output: Path) -> list[bytes]:
    subprocess.run([sys.executable, "main.py", "report", output], cwd=ROOT, check=True)
    return [(output / "report" / name).read_bytes() for name in TABLES]


def num_ended(output: Path) -> int:
    return len(list(read_records(output / "progress.jsonl")))


def test_killed_twice(study_file: Path, tables: list[bytes], tmp_path: Path) -> None:
    output, generator = tmp_path / "study", random.Random()
    for number in (1, 2):
        process = start(study_file, output)
        while num_ended(output) < 4 * number:
            assert process.poll() is None
            time.sleep(0.5)
        time.sleep(generator.uniform(0, 20))
        process.send_signal(signal.SIGKILL)
        process.wait()
    ended = num_ended(output)
    assert 0 < ended < NUM_CELLS
    assert start(study_file, output).wait() == 0
    assert num_ended(output) == NUM_CELLS, "no finished cell ran again"
    assert report(output) == tables


def test_a_killed_worker_of_ray(study_file: Path, tables: list[bytes], tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil", reason="psutil finds the workers of Ray")
    pytest.importorskip("ray", reason="the engine needs Ray")
    output = tmp_path / "study"
    process = start(study_file, output, "--engine=ray")
    while num_ended(output) < 3:
        assert process.poll() is None
        time.sleep(0.5)
    workers = [
        child for child in psutil.Process(process.pid).children(recursive=True) if "ray::run_on_worker" in child.name()
    ]
    os.kill(workers[0].pid, signal.SIGKILL)
    assert process.wait() == 0
    assert report(output) == tables
