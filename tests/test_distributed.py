"""Several processes (gloo, on this CPU) give what one gives: losses, trained tensors, metrics, prediction files."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig

from lit_compacter.checkpoints.format import METADATA_KEY
from lit_compacter.checkpoints.io import read_checkpoint
from lit_compacter.cli.main import main
from lit_compacter.runtime.signals import EXIT_RESUMABLE
from tests.command_line import SLURM, losses, run_cli
from tests.conftest import ROOT, TINY
from tests.user_callbacks import CountCommunication

COUNTS = [pytest.param(3), pytest.param(2, marks=pytest.mark.soak)]  # of processes


@pytest.fixture(scope="module")
def without_dropout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded backbone with dropout off: each process draws its own."""
    folder = Path(shutil.copytree(TINY, tmp_path_factory.mktemp("backbone") / "t5"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dropout_rate": 0.0}))
    return folder


def fit(root: Path, name: str, count: int, *more: str) -> Path:
    arguments = ["--trainer.accelerator=cpu", f"--trainer.devices={count}", "--trainer.enable_progress_bar=false"]
    arguments += [f"--trainer.default_root_dir={root}", f"--run_name={name}", *more]
    arguments += ["--trainer.strategy=ddp"] if count > 1 and not any("strategy" in word for word in more) else []
    result = run_cli("fit", "--config", "demo.yaml", *arguments)
    assert result.returncode == 0, result.stderr
    (root / name / "stdout").write_text(result.stdout)
    return root / name


def test_training_is_divided_exactly(tmp_path: Path, without_dropout: Path) -> None:
    """2 × 14 rows, three times accumulated, are 1 × 28; of the third batch, one row, a process has nothing."""
    more = [f"--model.model_name={without_dropout}", "--data.max_train_samples=57", "--trainer.max_epochs=4"]
    more += ["--trainer.accumulate_grad_batches=3", "--trainer.log_every_n_steps=1", "--trainer.limit_val_batches=1"]
    one = fit(tmp_path, "one", 1, *more, "--data.batch_size=28")
    two = fit(tmp_path, "two", 2, *more, "--data.batch_size=14")
    torch.testing.assert_close(list(losses(two).values()), list(losses(one).values()), rtol=1e-5, atol=0)
    assert len(list(losses(one).values())) == 4
    # The best checkpoint is that of the first step, whose gradient is ten times Adam's first moment.
    states = [read_checkpoint(folder / "checkpoints/best.ckpt") for folder in (one, two)]
    assert states[0]["global_step"] == states[1]["global_step"] == 1
    moments = [state["optimizer_states"][0]["state"] for state in states]
    for i, state in moments[0].items():
        exact = 1e-5 * state["exp_avg"].abs().max().item()
        torch.testing.assert_close(moments[1][i]["exp_avg"], state["exp_avg"], rtol=1e-5, atol=exact)


@pytest.mark.parametrize("strategy", ["ddp", pytest.param("sharded", marks=pytest.mark.soak)])
def test_a_step_communicates_once(strategy: str, tmp_path: Path) -> None:
    """Loss, token count and stop signals travel with the gradients; `sharded` gathers its blocks besides."""
    more = ["--trainer.callbacks+=tests.user_callbacks.CountCommunication", "--trainer.max_steps=8"]
    folder = fit(tmp_path, "run", 2, *more, f"--trainer.strategy={strategy}", "--trainer.limit_val_batches=1")
    for rank in range(2):
        counts = json.loads((folder / f"communication-{rank}.json").read_text())
        steps = CountCommunication.LAST - CountCommunication.FIRST
        assert counts["gloo:all_reduce"] == steps
        assert strategy == "sharded" or len(counts) == 1, counts


def test_a_sharded_backbone(tmp_path: Path, without_dropout: Path) -> None:
    """It trains as ddp does, and its checkpoint is the same and loads in one process; evaluation divides unevenly."""
    more = [f"--model.model_name={without_dropout}", "--data.max_train_samples=57", "--trainer.max_epochs=3"]
    more += ["--trainer.accumulate_grad_batches=2", "--trainer.log_every_n_steps=1", "--data.batch_size=14"]
    more += ["--trainer.limit_val_batches=1", "--model.warmup_steps=1"]
    ddp = fit(tmp_path, "ddp", 2, *more)
    sharded = fit(tmp_path, "sharded", 2, *more, "--trainer.strategy=sharded")
    torch.testing.assert_close(list(losses(sharded).values()), list(losses(ddp).values()), rtol=1e-4, atol=0)
    held, whole = re.search(r"([\d,]+) of ([\d,]+) parameters on each", (sharded / "stdout").read_text()).groups()  # type: ignore[union-attr]
    assert int(held.replace(",", "")) < 0.52 * int(whole.replace(",", ""))
    one, other = (read_checkpoint(folder / "checkpoints/last.ckpt") for folder in (ddp, sharded))
    shapes = [{name: tensor.shape for name, tensor in state["state_dict"].items()} for state in (one, other)]
    assert shapes[0] == shapes[1] and one[METADATA_KEY] == other[METADATA_KEY]
    last = sharded / "checkpoints/last.ckpt"
    assert validate(tmp_path, last, "alone")[0] == validate(tmp_path, last, "together", *GATHERED_ONCE)[0]


SHARDED = ["--trainer.devices=2", "--trainer.strategy=sharded", "--trainer.callbacks+=tests.user_callbacks.Gathers"]
GATHERED_ONCE = [
    *SHARDED,
    "--trainer.strategy=ShardedBackbone",
    "--trainer.strategy.reshard_after_forward=false",
]


def validate(root: Path, checkpoint: Path, name: str, *how: str) -> tuple[str, int | None]:
    """The metrics of a checkpoint, and how often a process has gathered something, if that was counted."""
    arguments = ["validate", "--config=demo.yaml", "--trainer.accelerator=cpu", "--data.batch_size=150"]
    arguments += [f"--trainer.default_root_dir={root}", f"--ckpt_path={checkpoint}", f"--run_name={name}", *how]
    result = run_cli(*arguments)
    assert result.returncode == 0, result.stderr
    count = root / name / "gathers.json"
    return (root / name / "metrics.json").read_text(), json.loads(count.read_text()) if count.exists() else None


@pytest.mark.soak
@pytest.mark.parametrize("evaluate", ["generate", "rank"])
def test_a_sharded_backbone_is_gathered_once(evaluate: str, tmp_path: Path, first_run: tuple[Path, str]) -> None:
    """For all blocks of an evaluation, where it is told so; else for each block of each forward pass."""
    best, how = first_run[0] / "checkpoints/best.ckpt", f"--model.evaluate={evaluate}"
    alone, _ = validate(tmp_path, best, "alone", how)
    freed, many = validate(tmp_path, best, "freed", how, *SHARDED)
    kept, once = validate(tmp_path, best, "kept", how, *GATHERED_ONCE)
    assert alone == freed == kept
    config = AutoConfig.from_pretrained(TINY)
    num_blocks = config.num_layers + config.num_decoder_layers
    assert once is not None and many is not None and num_blocks < once < 2 * num_blocks <= many


def test_sharding_needs_something_frozen(tmp_path: Path) -> None:
    arguments = ["--config=demo.yaml", "--config=methods/full.yaml", "--trainer.accelerator=cpu"]
    arguments += ["--trainer.strategy=sharded", f"--trainer.default_root_dir={tmp_path}", "--trainer.devices=2"]
    result = run_cli("fit", *arguments)
    assert result.returncode == 2 and "trains everything; use --trainer.strategy ddp" in result.stderr
    assert result.stderr.count("error: ") == 1, "both processes stumble over it, and one speaks for them"


@pytest.mark.usefixtures("_project_root")
@pytest.mark.parametrize("several", COUNTS)
def test_evaluation_is_exact(several: int, tmp_path: Path, first_run: tuple[Path, str]) -> None:
    """The same numbers and files from one process and several; 11 batches divide by neither 2 nor 3."""
    best = first_run[0] / "checkpoints/best.ckpt"
    found: dict[int, list[str]] = {}
    for count in (1, several):
        for verb in ("validate", "predict"):
            arguments = [verb, "--config=demo.yaml", f"--ckpt_path={best}", "--data.batch_size=37", "--run_name=run"]
            arguments += ["--trainer.accelerator=cpu", f"--trainer.devices={count}"]
            arguments += [f"--trainer.default_root_dir={tmp_path / str(count)}", "--trainer.enable_progress_bar=false"]
            if count == 1:
                main(arguments)
            else:
                result = run_cli(*arguments)
                assert result.returncode == 0, result.stderr
        folder = tmp_path / str(count) / "run"
        names = ("metrics.json", "predictions.jsonl", "validate_predictions.jsonl")
        found[count] = [(folder / name).read_text() for name in names]
    assert found[1] == found[several]
    records = [json.loads(line) for line in found[1][1].splitlines()]
    assert [record["idx"] for record in records] == list(range(len(records)))


LAUNCH = ["fit", "--config=demo.yaml", "--config=trainer/multi_node.yaml", "--trainer.num_nodes=1", "--run_name=run"]
LAUNCH += [
    "--trainer.accelerator=cpu",
    "--trainer.devices=2",
    "--ckpt_path=last",
    "--trainer.enable_progress_bar=false",
]


def free_port() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return str(unused.getsockname()[1])


def test_torchrun_and_slurm(tmp_path: Path) -> None:
    """The launch lines of multi_node.yaml: torchrun's, then as SLURM starts processes, going on until told to stop."""
    arguments = [str(ROOT / "main.py"), *LAUNCH, f"--trainer.default_root_dir={tmp_path}"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
    short = ["--trainer.max_epochs=2", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"]
    subprocess.run([*torchrun, *arguments, *short], cwd=ROOT, check=True, capture_output=True)
    last = tmp_path / "run/checkpoints/last.ckpt"
    assert read_checkpoint(last)["global_step"] == 4

    job = SLURM | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    long = ["--trainer.max_epochs=1000", "--save_every_n_steps=5"]
    processes = []
    for rank in ("0", "1"):
        environment = os.environ | job | {"SLURM_PROCID": rank, "SLURM_LOCALID": rank}
        words = [sys.executable, *arguments, *long]
        processes.append(subprocess.Popen(words, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True))
    deadline = time.monotonic() + 120
    while read_checkpoint(last)["global_step"] == 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in processes:  # as `--signal SIGUSR1@120` does
        process.send_signal(signal.SIGUSR1)
    told = [process.communicate(timeout=120)[1] for process in processes]
    assert max(process.returncode for process in processes) == EXIT_RESUMABLE  # what srun exits with
    assert "stopped by SIGUSR1 after optimizer step" in told[0]
    assert read_checkpoint(last)["global_step"] > 4
