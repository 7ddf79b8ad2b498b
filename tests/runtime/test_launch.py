"""Processes that were started otherwise than the trainer expects are refused; none waits for ever or trains alone."""

import warnings
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning import Trainer
from pytorch_lightning.plugins.environments import LightningEnvironment

from lit_compacter.runtime.launch import check_launch
from lit_compacter.runtime.rank import is_rank_zero
from tests.command_line import SLURM, command, error

TORCHRUN = {"TORCHELASTIC_RUN_ID": "1", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "3", "GROUP_RANK": "0"}
TWO = ["--trainer.strategy=ddp", "--trainer.devices=2"]
MACHINES = ["--trainer.strategy=ddp", "--trainer.num_nodes=2"]
LAUNCHES = {
    "torchrun, one device": (TORCHRUN, [], "has started 3 processes, but trainer.devices × trainer.num_nodes is 1"),
    "torchrun, fewer devices": (TORCHRUN, TWO, "has started 3 processes, but trainer.devices × trainer.num_nodes is 2"),
    "SLURM, one device": (SLURM, [], "has started 2 processes, but trainer.devices × trainer.num_nodes is 1"),
    "SLURM, too many machines": (SLURM, [*MACHINES, "--trainer.devices=1"], "does not match"),
    "machines that nobody starts": ({}, MACHINES, "no processes were started on other machines"),
    "machines by hand": ({"NODE_RANK": "0", "MASTER_ADDR": "h"}, MACHINES, "no processes were started on other"),
    "processes by copies": ({}, ["--trainer.strategy=ddp_spawn"], "trainer.strategy: expected auto, ddp or"),
    "SLURM, one of two": (SLURM | {"SLURM_NTASKS": "1"}, TWO, "has started 1 processes, but trainer.devices × trainer"),
}
# A launch: environment, options of the trainer, and whether this process is the first.
ALONE = {"accelerator": "cpu", "devices": 1}
BOTH: dict[str, Any] = {"accelerator": "cpu", "devices": 2, "strategy": "ddp"}
TORCHRUN_2 = TORCHRUN | {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
GOOD: dict[str, tuple[dict[str, str], dict[str, Any], bool]] = {
    "alone": ({}, ALONE, True),
    "by Lightning": ({}, BOTH, True),
    "by Lightning, the second": ({"LOCAL_RANK": "1"}, BOTH, False),
    "torchrun": (TORCHRUN_2, BOTH, True),
    "torchrun, the second": (TORCHRUN_2 | {"RANK": "1", "LOCAL_RANK": "1"}, BOTH, False),
    "torchrun, another machine": (
        TORCHRUN_2 | {"RANK": "1", "GROUP_RANK": "1", "LOCAL_WORLD_SIZE": "1"},
        BOTH | {"devices": 1, "num_nodes": 2},
        False,
    ),
    "torchrun by srun, which counts otherwise": (SLURM | TORCHRUN_2 | {"SLURM_PROCID": "1"}, BOTH, True),
    "srun": (SLURM, BOTH, True),
    "srun, the second": (SLURM | {"SLURM_PROCID": "1", "SLURM_LOCALID": "1"}, BOTH, False),
    "a SLURM job of one": (SLURM | {"SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1"}, ALONE, True),
    "a SLURM shell": (SLURM | {"SLURM_JOB_NAME": "bash"}, BOTH, True),
    "by Lightning, in a SLURM job": (
        SLURM | {"SLURM_NTASKS": "1"},
        BOTH | {"plugins": LightningEnvironment()},
        True,
    ),
}


@pytest.mark.parametrize("case", GOOD)
def test_taken(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, options, first = GOOD[case]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    check_launch(Trainer(logger=False, **options), options.get("strategy", "auto"))
    assert is_rank_zero() == first


@pytest.mark.parametrize("shared", ["True", "False"])
def test_restarts_that_may_not_find_each_other(shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    restarts = {"TORCHELASTIC_MAX_RESTARTS": "5", "TORCHELASTIC_USE_AGENT_STORE": shared}
    for name, value in (TORCHRUN_2 | restarts).items():
        monkeypatch.setenv(name, value)
    with warnings.catch_warnings(record=True) as caught:
        check_launch(Trainer(logger=False, **BOTH), "ddp")
    told = [str(warning.message) for warning in caught if "torchrun" in str(warning.message)]
    assert len(told) == (shared == "True")


@pytest.mark.usefixtures("_project_root")
@pytest.mark.parametrize("case", LAUNCHES)
def test_refused(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment, options, message = LAUNCHES[case]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert message in error(capsys, *command("fit", tmp_path / "runs", "--run_name=run", *options))
    assert not list(tmp_path.glob("runs/*"))
