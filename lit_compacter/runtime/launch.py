"""The processes of a run: whether they were started as the trainer expects; none of them outlives the others."""

import os
import subprocess

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher
from pytorch_lightning.trainer.states import TrainerFn

from lit_compacter.errors import UserError, lost_connection
from lit_compacter.runtime.signals import PATIENCE, on_signal, stop_at_once

ENVIRONMENTS = (LightningEnvironment, TorchElasticEnvironment, SLURMEnvironment)


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
    environment = strategy.cluster_environment if isinstance(strategy, DDPStrategy) else None
    if environment is not None and not isinstance(environment, ENVIRONMENTS):
        raise UserError(f"processes were started by {type(environment).__name__}: expected torchrun, srun or Lightning")
    launched, wanted = launched_processes(), trainer.num_devices * trainer.num_nodes
    starts_them_itself = environment is not None and not environment.creates_processes_externally
    if launched not in (None, wanted) and not starts_them_itself:
        raise UserError(
            f"torchrun or SLURM has started {launched} processes, but trainer.devices × trainer.num_nodes is {wanted}; "
            "give --trainer.strategy ddp, and --trainer.devices as they are on one machine. In a SLURM job start with "
            "srun what --ntasks counts"
        )
    if trainer.num_nodes > 1 and isinstance(environment, LightningEnvironment):
        raise UserError(
            f"trainer.num_nodes is {trainer.num_nodes}, but nothing has started processes on other machines: start "
            "this with torchrun or srun on each of them, as the head of configs/trainer/multi_node.yaml says"
        )


def launched_by(trainer: Trainer) -> "list[subprocess.Popen[bytes]]":
    """What this process itself has launched."""
    return getattr(trainer.strategy.launcher, "procs", [])


def terminate(launched: "list[subprocess.Popen[bytes]]") -> None:
    """Tell launched processes to stop."""
    for process in launched:
        process.terminate()


class StopTogether(Callback):
    """Keeps away Lightning's handler of SIGTERM, which evaluation ignores; ends what the first process has launched."""

    def _listen(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            on_signal(stop_at_once)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        on_signal(stop_at_once)  # until LastCheckpoint, which comes later, says what is saved first

    on_sanity_check_start = on_validation_start = on_test_start = on_predict_start = _listen

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        known = launched_by(trainer)
        launched = known.copy()
        known.clear()  # Lightning's observer of this list would kill this process when it sees one of them end
        if not lost_connection(exception):  # else one of them has ended or is about to, and says why
            terminate(launched)
        for process in launched:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:  # it waits for this one
                process.kill()
