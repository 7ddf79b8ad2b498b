"""Two hosts, of network namespaces: what fails is said in one line, and the run goes on to the same bits."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.hosts import ADDRESSES, PORT, TwoHosts, obstacle
from lit_compacter.checkpoints.io import read_checkpoint
from tests.long_runs import wait_for_step

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif((reason := obstacle()) is not None, reason=f"two hosts on one machine: {reason}"),
]
LINE = "cannot reach another process"
TIMEOUT = ["--trainer.strategy=DDPStrategy", "--trainer.strategy.timeout"]


def arguments(root: Path, timeout: str = "0:05:00") -> list[str]:
    """Of a fit of 24 steps on each of the two hosts, which takes a few seconds."""
    return [
        *("fit", "--config=demo.yaml", "--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.num_nodes=2"),
        *("--trainer.max_epochs=2", "--trainer.limit_train_batches=12", "--trainer.limit_val_batches=1"),
        *("--trainer.enable_progress_bar=false", "--model.warmup_steps=4", "--save_every_n_steps=1"),
        *("--trainer.callbacks+=tests.user_callbacks.Pause", f"--trainer.default_root_dir={root}"),
        *(TIMEOUT[0], f"{TIMEOUT[1]}={timeout}", "--run_name=run", "--ckpt_path=last"),
    ]


class Run:
    """The same command on both hosts, with torchrun.

    Args:
        hosts: The hosts.
        root: Where runs go, which both hosts see, and what each of them prints.
        timeout: Of communications.
    """

    def __init__(self, hosts: TwoHosts, root: Path, timeout: str = "0:05:00") -> None:
        self.hosts, self.root, self.words = hosts, root, arguments(root, timeout)
        self.processes = [self.start(host) for host in (0, 1)]

    def start(self, host: int) -> subprocess.Popen[str]:
        with (self.root / f"host{host}").open("a") as printed:
            options = ["--max-restarts=1"]
            return self.hosts.torchrun(host, *self.words, options=options, stdout=printed, stderr=printed)

    def wait_for_step(self, step: int) -> None:
        wait_for_step(self.root / "run", step)

    def worker(self, host: int) -> int:
        """The process that trains on a host."""
        parent = self.processes[host].pid
        return int(Path(f"/proc/{parent}/task/{parent}/children").read_text())

    def kill(self, host: int) -> None:
        """End all processes of a host at once, as a lack of power does."""
        for number in (self.processes[host].pid, self.worker(host)):
            os.kill(number, signal.SIGKILL)
        self.processes[host].wait()

    def wait(self) -> list[int]:
        return [process.wait(timeout=180) for process in self.processes]

    def lines(self, host: int) -> list[str]:
        """The errors that a host has printed."""
        return [line for line in (self.root / f"host{host}").read_text().splitlines() if line.startswith("error: ")]


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("never_stopped")
    with TwoHosts() as hosts:
        assert Run(hosts, root).wait() == [0, 0]
    return root


@pytest.fixture
def hosts() -> Iterator[TwoHosts]:
    with TwoHosts() as hosts:
        yield hosts


def cut_for(seconds: float, hosts: TwoHosts) -> None:
    hosts.cut()
    time.sleep(seconds)
    hosts.mend()


def assert_equal(root: Path, other: Path) -> None:
    one, two = (read_checkpoint(folder / "run/checkpoints/last.ckpt") for folder in (root, other))
    assert one["global_step"] == two["global_step"] == 24
    assert one["state_dict"].keys() == two["state_dict"].keys()
    assert all(torch.equal(one["state_dict"][name], two["state_dict"][name]) for name in one["state_dict"])
    states = [state["optimizer_states"][0]["state"] for state in (one, two)]
    assert all(torch.equal(states[0][i]["exp_avg"], states[1][i]["exp_avg"]) for i in states[0])


@pytest.mark.parametrize("host", [0, 1])
def test_a_killed_process(host: int, hosts: TwoHosts, never_stopped: Path, tmp_path: Path) -> None:
    """Torchrun starts both processes again, and they go on."""
    run = Run(hosts, tmp_path)
    run.wait_for_step(3)
    os.kill(run.worker(host), signal.SIGKILL)
    assert run.wait() == [0, 0]
    assert all(LINE in line for line in run.lines(1 - host)), "unless torchrun ends it first"
    assert_equal(tmp_path, never_stopped)


def test_a_cable_that_is_cut_for_seconds(hosts: TwoHosts, never_stopped: Path, tmp_path: Path) -> None:
    """Nothing fails: the run waits for it."""
    run = Run(hosts, tmp_path)
    run.wait_for_step(3)
    cut_for(5, hosts)
    assert run.wait() == [0, 0]
    assert not run.lines(0) + run.lines(1)
    assert_equal(tmp_path, never_stopped)


def test_a_cable_that_is_cut_for_longer_than_the_timeout(hosts: TwoHosts, never_stopped: Path, tmp_path: Path) -> None:
    run = Run(hosts, tmp_path, timeout="0:00:10")
    run.wait_for_step(3)
    cut_for(60, hosts)
    assert run.wait() == [0, 0]
    for host in (0, 1):
        (line,) = run.lines(host)
        assert LINE in line
    assert_equal(tmp_path, never_stopped)


def test_a_lost_host(hosts: TwoHosts, never_stopped: Path, tmp_path: Path) -> None:
    """The other one says so within the timeout, waits for it, and goes on with its replacement."""
    run = Run(hosts, tmp_path, timeout="0:00:10")
    run.wait_for_step(3)
    hosts.cut()
    run.kill(1)
    deadline = time.monotonic() + 25
    while not run.lines(0) and time.monotonic() < deadline:
        time.sleep(0.2)
    (line,) = run.lines(0)
    assert LINE in line and "last.ckpt is of optimizer step" in line
    hosts.mend()
    run.processes[1] = run.start(1)
    assert run.wait() == [0, 0]
    assert_equal(tmp_path, never_stopped)


def test_other_versions_on_a_host(hosts: TwoHosts, tmp_path: Path) -> None:
    (tmp_path / "transformers-4.0.dist-info").mkdir()
    (tmp_path / "transformers-4.0.dist-info/METADATA").write_text("Name: transformers\nVersion: 4.0\n")
    processes = []
    for host, path in enumerate(["", str(tmp_path)]):
        pipes: dict[str, Any] = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL}
        processes.append(hosts.torchrun(host, *arguments(tmp_path / "runs"), env={"PYTHONPATH": path}, **pipes))
    told = [line for process in processes for line in process.communicate(timeout=120)[1].splitlines()]
    assert all(process.returncode for process in processes)
    lines = {line for line in told if line.startswith("error: ")}
    assert len(lines) == 1, "from one host or both: the first to end ends the other"
    assert "install the same versions on all hosts" in lines.pop()
    assert not (tmp_path / "runs/run").exists()


def test_a_host_that_never_arrives(hosts: TwoHosts, tmp_path: Path) -> None:
    """Processes that SLURM starts: each looks for the first."""
    job = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "job", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1"}
    job |= {"SLURM_NNODES": "2", "SLURM_LOCALID": "0", "MASTER_ADDR": ADDRESSES[0], "MASTER_PORT": str(PORT)}
    for rank in (0, 1):
        environment = job | {"SLURM_PROCID": str(rank), "SLURM_NODEID": str(rank)}
        words = [sys.executable, "main.py", *arguments(tmp_path, timeout="0:00:05")]
        process = hosts.start(rank, words, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        told = process.communicate(timeout=120)[1]
        assert process.returncode == 1 and "Traceback" not in told
        (line,) = [line for line in told.splitlines() if line.startswith("error: ")]
        assert LINE in line
