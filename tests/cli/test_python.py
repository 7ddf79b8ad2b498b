"""`main()` from Python: it returns the metrics, and leaves the process as it was."""

import logging
import os
import random
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_compacter.cli.main import main
from tests.command_line import command
from tests.conftest import ROOT


def state() -> dict[str, Any]:
    return {
        "environment": dict(os.environ),
        "argv": sys.argv,
        "torch": torch.get_rng_state().tolist(),
        "random": random.getstate(),
        "warnings": warnings.filters[:],
        "format": warnings.formatwarning,
        "filters": {name: logging.getLogger(name).filters[:] for name in logging.root.manager.loggerDict},
        "hook": threading.excepthook,
        "group": torch.distributed.is_initialized(),
        "deterministic": torch.get_deterministic_debug_mode(),
    }


@pytest.mark.usefixtures("_project_root")
def test_main_returns_the_metrics_and_leaves_no_trace(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    random.seed(1)
    torch.manual_seed(1)
    request.addfinalizer(lambda: torch.use_deterministic_algorithms(False))
    torch.use_deterministic_algorithms(True, warn_only=True)
    before = state()
    metrics = main(command("fit", tmp_path, "--run_name=run", "--trainer.deterministic=true"))
    assert metrics is not None and metrics["val/invalid"] == 1.0 and metrics["train/loss"] > 0
    tested = main(command("test", tmp_path, "--run_name=run", "--ckpt_path=best"))
    assert tested is not None and tested.keys() == {"test/accuracy", "test/score", "test/invalid"}
    predicted = main(command("predict", tmp_path, "--run_name=run", "--ckpt_path=best"))
    assert predicted == {"predict/rows": 64, "predict/invalid": 1.0}
    assert main(["show", "--config", "demo.yaml"]) is None
    after = state()
    after["filters"] = {name: after["filters"][name] for name in before["filters"]}
    assert not [name for name in before if before[name] != after[name]]


@pytest.mark.usefixtures("_project_root")
def test_in_a_thread(tmp_path: Path) -> None:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(main(command("fit", tmp_path, "--run_name=run"))))
    thread.start()
    thread.join()
    assert found and found[0]["val/invalid"] == 1.0


TWO_RUNS = """
import sys
from lit_compacter.cli.main import main
from tests.command_line import command
if __name__ == "__main__":
    root = sys.argv[1]
    two = ["--trainer.devices=2", "--trainer.strategy=ddp"]
    for task in ("one", "two"):
        assert main(command("fit", root, f"--run_name={task}", *two))["train/loss"] > 0
    print(main(command("test", root, "--run_name=one", "--ckpt_path=best")))
"""


@pytest.mark.soak
def test_runs_of_two_processes_then_of_one(tmp_path: Path) -> None:
    """Each run has its own folder, and the last one does not wait for the processes of the others."""
    script = tmp_path / "script.py"
    script.write_text(TWO_RUNS)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, script, tmp_path / "runs"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
    assert {folder.name for folder in (tmp_path / "runs").iterdir()} == {"one", "two"}
    assert "test/accuracy" in result.stdout.splitlines()[-1]
