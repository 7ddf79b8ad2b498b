"""The processes of a run: which one is the first, and whether they were started as the trainer expects."""

import os

from pytorch_lightning import Trainer
from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher
from pytorch_lightning.utilities import rank_zero_only

from lit_compacter.errors import UserError


def is_first_process() -> bool:
    """Is this the process that writes for all, also before a trainer is there to ask?"""
    return not rank_zero_only.rank  # type: ignore[attr-defined]


def launched_processes() -> int | None:
    """How many processes torchrun or SLURM has started; None where it is for Lightning to start them."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return int(os.environ["WORLD_SIZE"])
    return int(os.environ["SLURM_NTASKS"]) if SLURMEnvironment.detect() else None


def is_one_of_several() -> bool:
    """Was this process started beside others, by whomever?"""
    return "LOCAL_RANK" in os.environ or (launched_processes() or 1) > 1


def check_launch(trainer: Trainer) -> None:
    """Refuse what would end in the middle, wait for ever, or train many times alone.

    Raises:
        UserError: The strategy is none of ours, there are processes of which the trainer knows nothing, or nobody
            starts those of the other machines.
    """
    strategy = trainer.strategy
    if not isinstance(strategy, SingleDeviceStrategy | DDPStrategy) or isinstance(
        strategy.launcher, _MultiProcessingLauncher
    ):
        raise UserError("trainer.strategy: expected auto, ddp or, for a backbone larger than one device, sharded")
    launched = launched_processes() or trainer.world_size
    if launched != trainer.world_size:
        raise UserError(
            f"torchrun or SLURM has started {launched} processes, but trainer.devices × trainer.num_nodes is "
            f"{trainer.world_size}; give --trainer.strategy ddp, and --trainer.devices as they are on one machine"
        )
    environment = strategy.cluster_environment if isinstance(strategy, DDPStrategy) else None
    if trainer.num_nodes > 1 and isinstance(environment, LightningEnvironment):
        raise UserError(
            f"trainer.num_nodes is {trainer.num_nodes}, but nothing has started processes on other machines: start "
            "this with torchrun or srun on each of them, as the head of configs/trainer/multi_node.yaml says"
        )
