"""Runs that are long enough to be killed."""

import subprocess
import sys
import time
from pathlib import Path

from lit_compacter.checkpoints.io import read_checkpoint
from tests.conftest import ROOT

EPOCHS = 4


def command(root: Path, name: str, *more: str) -> list[str]:
    return [
        *(sys.executable, str(ROOT / "main.py"), "fit", "--config", "demo.yaml", "--trainer.accelerator=cpu"),
        *(f"--trainer.max_epochs={EPOCHS}", "--trainer.limit_train_batches=8", "--trainer.limit_val_batches=2"),
        *("--trainer.log_every_n_steps=1", "--trainer.enable_progress_bar=false", "--model.warmup_steps=4"),
        "--save_every_n_steps=1",
        *(f"--trainer.default_root_dir={root}", f"--run_name={name}", *more),
    ]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    """A run of its own process group, which a signal can reach whole."""
    return subprocess.Popen(
        arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for_step(folder: Path, step: int) -> None:
    """Until last.ckpt is of optimizer step `step` or later."""
    last, deadline = folder / "checkpoints/last.ckpt", time.monotonic() + 120
    while time.monotonic() < deadline:
        if last.exists() and read_checkpoint(last)["global_step"] >= step:
            return
        time.sleep(0.005)
    raise AssertionError(f"no checkpoint of step {step} came")
