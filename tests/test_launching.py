"""Processes that were started otherwise than the trainer expects are refused; none waits for ever or trains alone."""

from pathlib import Path

import pytest

from tests.cli import command, error

TORCHRUN = {"TORCHELASTIC_RUN_ID": "1", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "3", "GROUP_RANK": "0"}
SLURM = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "job", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}
SLURM |= {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
TWO = ["--trainer.strategy=ddp", "--trainer.devices=2"]
MACHINES = ["--trainer.strategy=ddp", "--trainer.num_nodes=2"]
LAUNCHES = {
    "torchrun, one device": (TORCHRUN, [], "has started 3 processes, but trainer.devices × trainer.num_nodes is 1"),
    "torchrun, fewer devices": (TORCHRUN, TWO, "does not match the world size (3)"),
    "SLURM, one device": (SLURM, [], "has started 2 processes, but trainer.devices × trainer.num_nodes is 1"),
    "SLURM, too many machines": (SLURM, [*MACHINES, "--trainer.devices=1"], "does not match"),
    "machines that nobody starts": ({}, MACHINES, "nothing has started processes on other machines"),
    "machines by hand": ({"NODE_RANK": "0", "MASTER_ADDR": "h"}, MACHINES, "nothing has started processes on other"),
    "processes by copies": ({}, ["--trainer.strategy=ddp_spawn"], "trainer.strategy: expected auto, ddp or"),
}


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
