"""A run that is killed and resumed ends where the run that was never stopped ends, to the bit."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from lit_compacter import checkpoint
from tests.cli import run_cli
from tests.conftest import ROOT, TINY

EPOCHS = 4


def command(root: Path, name: str, *more: str) -> list[str]:
    return [
        *(sys.executable, str(ROOT / "main.py"), "fit", "--config", "demo.yaml", "--trainer.accelerator=cpu"),
        *(f"--trainer.max_epochs={EPOCHS}", "--trainer.limit_train_batches=8", "--trainer.limit_val_batches=2"),
        *("--trainer.log_every_n_steps=1", "--trainer.enable_progress_bar=false", "--model.warmup_steps=4"),
        *(f"--trainer.default_root_dir={root}", f"--run_name={name}", *more),
    ]


def losses(folder: Path, version: int) -> dict[int, str]:
    with (folder / f"logs/fit/csv/version_{version}/metrics.csv").open(newline="") as file:
        return {int(row["step"]): row["train/loss"] for row in csv.DictReader(file) if row["train/loss"]}


def assert_equal(one: Any, other: Any, path: str = "") -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_equal(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_equal(a, b, f"{path}/{i}")
    else:
        assert one == other, path


def test_killed_and_resumed(tmp_path: Path) -> None:
    assert AutoConfig.from_pretrained(TINY).dropout_rate > 0
    subprocess.run(command(tmp_path, "whole"), cwd=ROOT, check=True, capture_output=True)

    process = subprocess.Popen(
        command(tmp_path, "killed"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    last = tmp_path / "killed/checkpoints/last.ckpt"
    deadline = time.monotonic() + 120
    while not last.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    stopped_at = checkpoint.read(last)["global_step"]
    assert 0 < stopped_at < 8 * EPOCHS, "it was stopped with training behind it and before it"

    subprocess.run(command(tmp_path, "killed", "--ckpt_path=last"), cwd=ROOT, check=True, capture_output=True)

    whole, resumed = (checkpoint.read(tmp_path / name / "checkpoints/last.ckpt") for name in ("whole", "killed"))
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch", "lit_compacter"):
        assert_equal(whole[part], resumed[part], part)
    for key, state in whole["callbacks"].items():
        assert_equal(state.get("best_model_score"), resumed["callbacks"][key].get("best_model_score"), key)
    all_losses, resumed_losses = losses(tmp_path / "whole", 0), losses(tmp_path / "killed", 1)
    assert len(all_losses) == 8 * EPOCHS
    assert resumed_losses == {step: loss for step, loss in all_losses.items() if step >= stopped_at}


def test_the_best_checkpoint_is_kept_when_the_folder_moves(tmp_path: Path) -> None:
    """Into a folder of another path, and into a new folder."""
    short = ["--trainer.max_epochs=1", "--model.pretrained=false"]  # a random backbone: the score stays what it is
    assert run_cli(*command(tmp_path, "old", *short)[2:]).returncode == 0
    best = checkpoint.read(tmp_path / "old/checkpoints/best.ckpt")
    (tmp_path / "old").rename(tmp_path / "moved")
    more = ["--trainer.max_epochs=2", "--model.pretrained=false", "--model.learning_rate=1e-9"]
    ckpt = f"--ckpt_path={tmp_path / 'moved/checkpoints/last.ckpt'}"
    for name in ("new", "moved"):
        result = run_cli(*command(tmp_path, name, *more, ckpt)[2:])
        assert result.returncode == 0, result.stderr
        kept = checkpoint.read(tmp_path / name / "checkpoints/best.ckpt")
        assert_equal(best["state_dict"], kept["state_dict"])


def test_the_command_line_wins_over_the_optimizers_state(tmp_path: Path) -> None:
    """A resumed run trains with the learning rate and weight decay that it is given."""
    assert run_cli(*command(tmp_path, "run", "--trainer.max_epochs=1")[2:]).returncode == 0
    more = ["--trainer.max_epochs=2", "--ckpt_path=last", "--model.learning_rate=1e-4", "--model.weight_decay=0.5"]
    assert run_cli(*command(tmp_path, "run", *more)[2:]).returncode == 0
    state = checkpoint.read(tmp_path / "run/checkpoints/last.ckpt")
    (group,) = state["optimizer_states"][0]["param_groups"]
    assert group["initial_lr"] == 1e-4 and group["weight_decay"] == 0.5
    assert state["lr_schedulers"][0]["base_lrs"] == [1e-4]
