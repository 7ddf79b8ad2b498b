"""The processes of a run: check that they were started as the trainer expects, and stop them together."""

import contextlib
import os
import subprocess
import warnings

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy
from pytorch_lightning.trainer.states import TrainerFn

from lit_compacter.compat import skip_sigterm_broadcast
from lit_compacter.errors import UserError, first_line
from lit_compacter.runtime.signals import set_stop_handler, stop_at_once

ENVIRONMENTS = (LightningEnvironment, TorchElasticEnvironment, SLURMEnvironment)
JOIN_TIMEOUT_S = 3  # how long a process waits for the processes that it launched
SUPPORTED_STRATEGIES = "expected auto, ddp or, for a backbone larger than one device, sharded"
FORKING = ("spawn", "fork", "notebook")  # strategies that copy this process, and with it its signal handlers and locks


def num_launched_processes() -> int | None:
    """Number of processes that torchrun or SLURM has started; None if Lightning has to start them."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return int(os.environ["WORLD_SIZE"])
    return int(os.environ["SLURM_NTASKS"]) if SLURMEnvironment.detect() else None


def is_one_of_several() -> bool:
    """Whether this process was started together with others."""
    return "LOCAL_RANK" in os.environ or (num_launched_processes() or 1) > 1


def check_launch(trainer: Trainer, strategy: object) -> None:
    """Refuse a launch that would hang, or train the same model several times.

    Args:
        trainer: The trainer.
        strategy: The value of `trainer.strategy` in the config.

    Raises:
        UserError: The strategy is not supported, the trainer does not know of some processes, or nothing starts the
            processes on the other machines.
    """
    forks = isinstance(strategy, str) and strategy.endswith(FORKING)
    if forks or not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
        raise UserError(f"trainer.strategy: {SUPPORTED_STRATEGIES}")
    environment = trainer.strategy.cluster_environment if isinstance(trainer.strategy, DDPStrategy) else None
    if environment is not None and not isinstance(environment, ENVIRONMENTS):
        raise UserError(f"processes were started by {type(environment).__name__}: expected torchrun, srun or Lightning")
    launched, wanted = num_launched_processes(), trainer.num_devices * trainer.num_nodes
    starts_them_itself = environment is not None and not environment.creates_processes_externally
    if launched not in (None, wanted) and not starts_them_itself:
        raise UserError(
            f"torchrun or SLURM has started {launched} processes, but trainer.devices × trainer.num_nodes is {wanted}; "
            "give --trainer.strategy ddp, and --trainer.devices as the number per machine. In a SLURM job, srun "
            "starts --ntasks processes"
        )
    if trainer.num_nodes > 1 and isinstance(environment, LightningEnvironment):
        raise UserError(
            f"trainer.num_nodes is {trainer.num_nodes}, but no processes were started on other machines: start the "
            "command with torchrun or srun on each of them, as configs/trainer/multi_node.yaml shows"
        )
    restarts = os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0"
    if restarts and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        warnings.warn(
            "processes that torchrun starts again may look for each other where they were before: set "
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for torchrun",
            stacklevel=2,
        )
    if environment is not None:
        try:
            environment.validate_settings(trainer.num_devices, trainer.num_nodes)
        except ValueError as error:
            raise UserError(f"trainer: {first_line(error)}") from error


class StopTogether(Callback):
    """Stops all processes of a run together.

    Replaces Lightning's SIGTERM handler, which evaluation ignores. A process that stops or fails terminates
    the processes that it launched, which would otherwise wait for it.
    """

    def _set_handler(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            set_stop_handler(stop_at_once)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        set_stop_handler(stop_at_once)  # until LastCheckpoint, a later callback, sets one that saves first
        skip_sigterm_broadcast(trainer)

    on_sanity_check_start = on_validation_start = on_test_start = on_predict_start = _set_handler

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        # A lost connection (gloo: a RuntimeError) ends every process, and the one that failed must still say why.
        if type(exception) is RuntimeError or isinstance(exception, torch.distributed.DistError):
            return
        launched: list[subprocess.Popen[bytes]] = getattr(trainer.strategy.launcher, "procs", [])
        for process in launched:
            process.terminate()
        for process in launched:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(JOIN_TIMEOUT_S)
