"""A run that is killed and resumed ends where the run that was never stopped ends, to the bit."""

import os
import random
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from lit_compacter.checkpoints.io import read_checkpoint
from lit_compacter.cli.configs import METHOD_NAMES
from lit_compacter.cli.main import main
from lit_compacter.runtime.signals import EXIT_INTERRUPTED, EXIT_RESUMABLE
from tests.command_line import losses, run_cli
from tests.conftest import ROOT, TINY
from tests.long_runs import EPOCHS, command, start, wait_for_step


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


def assert_same_end(whole: Path, resumed: Path) -> None:
    """Bit-identical tensors, optimizer, schedule, progress, best score and early stopping."""
    one, other = (read_checkpoint(folder / "checkpoints/last.ckpt") for folder in (whole, resumed))
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch", "lit_compacter"):
        assert_equal(one[part], other[part], part)
    for key, state in one["callbacks"].items():
        for name in ("best_model_score", "wait_count", "best_score"):
            assert_equal(state.get(name), other["callbacks"][key].get(name), f"{key} {name}")


EARLY_STOPPING = "{class_path: EarlyStopping, init_args: {monitor: val/score, mode: max, patience: 9}}"
# In the middle of an epoch; some with validations there, with accumulated gradients, in two processes.
VALIDATIONS = ["--trainer.val_check_interval=0.375", f"--trainer.callbacks+={EARLY_STOPPING}"]
ACCUMULATION = ["--trainer.accumulate_grad_batches=3", "--data.batch_size=16"]
PROCESSES = ["--trainer.devices=2", "--trainer.strategy=ddp", "--data.batch_size=16"]
SHARDED = ["--trainer.devices=2", "--trainer.strategy=sharded", "--data.batch_size=16"]
STREAM = ["--data.streaming=true", "--data.buffer_size=100", "--trainer.limit_train_batches=1.0"]
STREAM += [f"--trainer.max_steps={8 * EPOCHS}"]
BFLOAT16 = "--model.backbone_dtype=bfloat16"
MIDDLE = [
    pytest.param([], id="plain", marks=pytest.mark.soak),
    pytest.param(VALIDATIONS, id="validations", marks=pytest.mark.soak),
    pytest.param(ACCUMULATION, id="accumulation", marks=pytest.mark.soak),
    pytest.param([*ACCUMULATION, *PROCESSES], id="two processes"),
    pytest.param([*ACCUMULATION, *SHARDED], id="sharded", marks=pytest.mark.soak),
    pytest.param([BFLOAT16], id="bfloat16", marks=pytest.mark.soak),
    pytest.param([BFLOAT16, *ACCUMULATION, *SHARDED], id="bfloat16, sharded", marks=pytest.mark.soak),
    pytest.param([*PROCESSES, "--data.max_tokens_per_batch=500"], id="tokens", marks=pytest.mark.soak),
    pytest.param(STREAM, id="stream", marks=pytest.mark.soak),
    pytest.param([*STREAM, *ACCUMULATION, *PROCESSES], id="stream, two processes", marks=pytest.mark.soak),
    *(
        pytest.param(
            [f"--model.quantization={quantization}", *VALIDATIONS],
            id=quantization,
            marks=pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"),
        )
        for quantization in ("8bit", "nf4")
    ),
]


@pytest.mark.parametrize("more", MIDDLE)
def test_killed_and_resumed(more: list[str], tmp_path: Path) -> None:
    assert AutoConfig.from_pretrained(TINY).dropout_rate > 0
    subprocess.run(command(tmp_path, "whole", *more), cwd=ROOT, check=True, capture_output=True)
    steps = read_checkpoint(tmp_path / "whole/checkpoints/last.ckpt")["global_step"]

    again = command(tmp_path, "killed", "--ckpt_path=last", *more)  # one command for the first start and the second
    process = start(again)
    wait_for_step(tmp_path / "killed", steps // EPOCHS + 1)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    stopped_at = read_checkpoint(tmp_path / "killed/checkpoints/last.ckpt")["global_step"]
    assert 0 < stopped_at < steps, "it was stopped with training behind it and before it"

    subprocess.run(again, cwd=ROOT, check=True, capture_output=True)
    assert_same_end(tmp_path / "whole", tmp_path / "killed")
    all_losses, resumed_losses = losses(tmp_path / "whole"), losses(tmp_path / "killed", version=1)
    assert len(all_losses) == steps
    assert resumed_losses == {step: loss for step, loss in all_losses.items() if step >= stopped_at}


STOPS = [
    pytest.param(signal.SIGTERM, [], id="one process", marks=pytest.mark.soak),
    pytest.param(signal.SIGINT, PROCESSES, id="two processes"),
    pytest.param(signal.SIGUSR1, SHARDED, id="sharded", marks=pytest.mark.soak),
]


@pytest.mark.parametrize(("number", "more"), STOPS)
def test_told_to_stop(number: signal.Signals, more: list[str], tmp_path: Path) -> None:
    """The first process is told; all save after the step at hand and end, one says how to go on."""
    arguments = command(tmp_path, "run", "--ckpt_path=last", "--save_every_n_steps=3", *more)
    process = start(arguments)
    wait_for_step(tmp_path / "run", 3)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == (EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_RESUMABLE)
    assert subprocess.run(["pgrep", "-g", str(process.pid)], stdout=subprocess.DEVNULL).returncode == 1, "all ended"
    told = stderr.splitlines()[-1]
    step = read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["global_step"]
    assert f"stopped by {number.name} after optimizer step {step};" in told and "--ckpt_path" in told
    assert 3 <= step < 8 * EPOCHS
    for _ in range(1 if more else 2):  # a run that is over stays so
        subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True)
        assert read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["global_step"] == 8 * EPOCHS


# What the methods' sizes become in the embedded model of width 64 and two blocks.
SIZES = {
    **{name: ["--model.method.phm_dim=2"] for name in ("compacter", "compacter_pp", "phm_adapter")},
    "adapter_drop": ["--model.method.layers=[1]"],
    "intrinsic_said": ["--model.method.dim=500"],
}


class Wholes:
    """Runs that were never stopped, one for each method and number of processes, made when they are asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.seconds: dict[str, float] = {}

    def get(self, method: str, processes: int) -> tuple[Path, float, list[str]]:
        """The run's folder, how long it trained, and its options."""
        name = f"{method}-{processes}"
        options = ["--config", f"methods/{method}.yaml", *SIZES.get(method, []), "--data.batch_size=16"]
        options += ["--save_every_n_steps=2", "--trainer.val_check_interval=0.5", "--trainer.accumulate_grad_batches=1"]
        options += ["--trainer.devices=2", "--trainer.strategy=ddp"] if processes == 2 else []
        if name not in self.seconds:
            subprocess.run(command(self.root, name, *options), cwd=ROOT, check=True, capture_output=True)
            began = (self.root / name / "config.yaml").stat().st_mtime
            self.seconds[name] = (self.root / name / "metrics.json").stat().st_mtime - began
        return self.root / name, self.seconds[name], options


@pytest.fixture(scope="session")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> Wholes:
    return Wholes(tmp_path_factory.mktemp("wholes"))


@pytest.mark.soak
@pytest.mark.parametrize("number", range(50))
def test_killed_at_a_random_moment(number: int, wholes: Wholes, tmp_path: Path) -> None:
    """In a step, in a validation, while a checkpoint is written: twice, wherever it is, with every method."""
    chance = random.Random(number)
    whole, seconds, options = wholes.get(METHOD_NAMES[number % len(METHOD_NAMES)], 1 + number // len(METHOD_NAMES) % 2)
    again = command(tmp_path, "killed", "--ckpt_path=last", *options)
    steps, last = EPOCHS * 8, tmp_path / "killed/checkpoints/last.ckpt"
    for config in ("config.yaml", "config-2.yaml"):
        before = read_checkpoint(last)["global_step"] if last.exists() else 0
        process = start(again)
        while not (tmp_path / "killed" / config).exists():
            time.sleep(0.01)
        if step := chance.randrange(before, max(before + 1, steps - 6)):
            wait_for_step(tmp_path / "killed", step)
        time.sleep(chance.uniform(0, 4 * seconds / steps))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL or before > steps - 6, "it was alive"
    subprocess.run(again, cwd=ROOT, check=True, capture_output=True)
    assert_same_end(whole, tmp_path / "killed")


@pytest.mark.usefixtures("_project_root")
def test_the_best_checkpoint_is_kept_when_the_folder_moves(tmp_path: Path) -> None:
    """Into a folder of another path, and into a new folder."""
    short = ["--trainer.max_epochs=1", "--model.pretrained=false"]  # a random backbone: the score stays what it is
    main(command(tmp_path, "old", *short)[2:])
    best = read_checkpoint(tmp_path / "old/checkpoints/best.ckpt")
    (tmp_path / "old").rename(tmp_path / "moved")
    more = ["--trainer.max_epochs=2", "--model.pretrained=false", "--model.learning_rate=1e-9"]
    ckpt = f"--ckpt_path={tmp_path / 'moved/checkpoints/last.ckpt'}"
    for name in ("new", "moved"):
        main(command(tmp_path, name, *more, ckpt)[2:])
        kept = read_checkpoint(tmp_path / name / "checkpoints/best.ckpt")
        assert_equal(best["state_dict"], kept["state_dict"])


@pytest.mark.usefixtures("_project_root")
def test_the_command_line_wins_over_the_optimizers_state(tmp_path: Path) -> None:
    """A resumed run trains with the learning rate and weight decay that it is given."""
    main(command(tmp_path, "run", "--trainer.max_epochs=1")[2:])
    more = ["--trainer.max_epochs=2", "--ckpt_path=last", "--model.learning_rate=1e-4", "--model.weight_decay=0.5"]
    main(command(tmp_path, "run", *more)[2:])
    state = read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")
    (group,) = state["optimizer_states"][0]["param_groups"]
    assert group["initial_lr"] == 1e-4 and group["weight_decay"] == 0.5
    assert state["lr_schedulers"][0]["base_lrs"] == [1e-4]


@pytest.mark.soak
def test_two_starts_at_once_have_a_folder_each(tmp_path: Path) -> None:
    arguments = [word for word in command(tmp_path, "", "--trainer.max_epochs=1") if not word.startswith("--run_name")]
    for process in [start(arguments), start(arguments)]:
        assert process.wait() == 0
    folders = list(tmp_path.iterdir())
    assert len(folders) == 2 and all((folder / "checkpoints/last.ckpt").exists() for folder in folders)


@pytest.mark.soak
def test_a_folder_is_taken_until_its_process_is_dead(tmp_path: Path) -> None:
    arguments = command(tmp_path, "run", "--ckpt_path=last", "--trainer.max_epochs=1000")
    first = start(arguments)
    wait_for_step(tmp_path / "run", 1)
    second = run_cli(*arguments[2:])
    assert second.returncode == 2 and "another process trains in the run folder" in second.stderr
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    stopped_at = read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["global_step"]
    third = start(arguments)
    wait_for_step(tmp_path / "run", stopped_at + 1)
    os.killpg(third.pid, signal.SIGKILL)
    third.communicate()


@pytest.mark.soak
def test_one_of_two_processes_is_killed(tmp_path: Path) -> None:
    """The other one ends too, in one line, and the run can go on."""
    process = start(command(tmp_path, "run", "--trainer.max_epochs=1000", *PROCESSES))
    wait_for_step(tmp_path / "run", 2)
    (child,) = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(child), signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode != 0 and "Traceback" not in stderr
    last = stderr.splitlines()[-1]
    assert last.startswith("error: rank 0 cannot reach another process") and "last.ckpt is of optimizer step" in last
    more = ["--ckpt_path=last", "--trainer.max_epochs=1", *PROCESSES]
    subprocess.run(command(tmp_path, "run", *more), cwd=ROOT, check=True, capture_output=True)
