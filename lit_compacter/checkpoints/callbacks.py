"""Callbacks that write checkpoints: the best one, the last one, and one when the run is told to stop."""

import shutil
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping, ModelCheckpoint

from lit_compacter.checkpoints.io import read_checkpoint
from lit_compacter.checkpoints.paths import BEST, LAST
from lit_compacter.errors import UserError
from lit_compacter.runtime.connection import gather
from lit_compacter.runtime.rank import is_rank_zero
from lit_compacter.runtime.signals import Stopped, set_stop_handler, stop_at_once
from lit_compacter.runtime.step_totals import StepTotals
from lit_compacter.utils.atomic import atomic_write, remove_unfinished
from lit_compacter.utils.run_files import SCORE


class BestCheckpoint(ModelCheckpoint):
    """Keeps best.ckpt by `val/score`, even if the run folder has moved or the run continues in a new one.

    Args:
        folder: Where best.ckpt goes.
        resumed: The checkpoint that the run resumes from. The previous best.ckpt is in the same folder.
        validates_by_batches: Whether validation runs after a number of batches instead of at the end of an epoch.
            Lightning cannot tell an interval of 1 batch from one of 1.0 epochs.
    """

    def __init__(self, folder: Path, resumed: str | None, validates_by_batches: bool = False) -> None:
        super().__init__(
            folder,
            filename=Path(BEST).stem,
            monitor=SCORE,
            mode="max",
            enable_version_counter=False,
            save_on_train_epoch_end=False if validates_by_batches else None,
        )
        self.resumed = resumed
        self.previous_best = Path(resumed or folder).with_name(BEST)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Same as in Lightning, but also check that all processes resume from the same checkpoint.

        Raises:
            UserError: The processes found different checkpoints.
        """
        super().setup(trainer, pl_module, stage)
        found = gather(self.resumed)
        if len(set(found)) > 1:
            raise UserError(
                f"the processes found different checkpoints ({', '.join(map(str, found))}): another run in this "
                "folder may just have ended, or some machines do not see the folder; start again when all see it"
            )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Same as in Lightning, but keep the best score even if the folder's path has changed."""
        assert self.dirpath is not None
        best = Path(self.dirpath) / BEST
        if is_rank_zero() and not best.exists() and self._is_described_by(self.previous_best, state_dict):
            best.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(best) as temporary:
                shutil.copy(self.previous_best, temporary)
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # until the copy is complete
        if self._is_described_by(best, state_dict):
            path, score = str(best), state_dict["best_model_score"]
            state_dict = state_dict | {"dirpath": self.dirpath, "best_model_path": path, "kth_best_model_path": path}
            state_dict["best_k_models"] = {path: score}
        super().load_state_dict(state_dict)

    def _is_described_by(self, path: Path, state_dict: dict[str, Any]) -> bool:
        """Whether `path` is the best checkpoint that `state_dict` records."""
        if not path.exists():
            return False
        recorded = read_checkpoint(path)["callbacks"][self.state_key]["best_model_score"]
        return bool(recorded == state_dict["best_model_score"])


class LastCheckpoint(Checkpoint):
    """Keeps last.ckpt, from which a run resumes exactly.

    It is written every `every_n_steps` optimizer steps, after each validation and at the end of each epoch. If a
    validation is due at a step, last.ckpt is written after it, because a run that resumed from the step would skip it.
    On SIGTERM, SIGUSR1 and Ctrl-C, it is written after the current step or validation, and the process exits.

    Args:
        folder: Where last.ckpt goes.
        every_n_steps: Optimizer steps between writes.
    """

    def __init__(self, folder: Path, every_n_steps: int) -> None:
        self.path = folder / LAST
        self.every_n_steps = every_n_steps
        self.saved_step: int | None = None
        self.signal: signal.Signals | None = None
        self.has_trained = False  # since this start of the run
        self.step = 0  # optimizer steps after the previous batch
        self.is_mid_step = False  # whether gradients are being accumulated

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.step = trainer.global_step
        assert isinstance(pl_module.totals, StepTotals)
        self.totals = pl_module.totals
        if is_rank_zero():
            remove_unfinished(self.path.parent)
        set_stop_handler(self._on_stop_signal)  # replaces Lightning's, which communicates inside the handler
        # Lightning's checkpoints do not record that EarlyStopping had ended the run.
        trainer.should_stop |= any(map(_has_stopped, _early_stopping(trainer)))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.has_trained:
            warnings.warn(
                f"nothing was trained: the checkpoint is at optimizer step {trainer.global_step}, where the run ends; "
                "to continue, raise the limit that ended it: --trainer.max_epochs, max_steps, max_time (the total over "
                "all starts), or the patience of EarlyStopping",
                stacklevel=2,
            )

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Let this run's early stopping patience replace the one that Lightning saved with its state."""
        for callback in _early_stopping(trainer):
            if state := checkpoint["callbacks"].get(callback.state_key):
                state["patience"] = callback.patience

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.is_mid_step = trainer.global_step == self.step  # gradients are being accumulated
        if self.is_mid_step:
            return
        self.step, self.has_trained = trainer.global_step, True
        if trainer.is_last_batch or _validates_next(trainer, batch_idx):
            return
        # Not by a communication of its own, which on a slow link would take longer than that of the gradients.
        stop = self.signal is not None if trainer.world_size == 1 else self.totals.any_told_to_stop
        ends = trainer.should_stop or self.step == trainer.max_steps  # in the middle of an epoch
        if stop or ends or self.step % self.every_n_steps == 0:
            self._save(trainer)
        if stop:
            self._exit(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not (trainer.sanity_checking or trainer.is_last_batch or self.is_mid_step):
            self._save_and_stop_if_requested(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_last_batch:  # otherwise the run ends mid-epoch, and the last step has already saved
            self._save_and_stop_if_requested(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self.path.exists():
            step = "as before the start" if self.saved_step is None else f"of optimizer step {self.saved_step}"
            exception.add_note(f"{self.path} is {step}; the same command with --ckpt_path last goes on from it")

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path, weights_only=False)
        self.saved_step = trainer.global_step

    def _save_and_stop_if_requested(self, trainer: Trainer) -> None:
        self._save(trainer)
        if self._stop_requested(trainer):
            self._exit(trainer)

    def _on_stop_signal(self, number: int, frame: Any) -> None:
        self.signal = signal.Signals(number)
        self.totals.told_to_stop = True
        if self.signal == signal.SIGINT:
            signal.signal(number, stop_at_once)
            if is_rank_zero():
                print("stopping after this step or validation; Ctrl-C again stops without saving", file=sys.stderr)

    def _stop_requested(self, trainer: Trainer) -> bool:
        """Whether any process was told to stop; all get the same answer."""
        return trainer.strategy.reduce_boolean_decision(self.signal is not None, all=False)

    def _exit(self, trainer: Trainer) -> None:
        by = self.signal or signal.SIGTERM  # None if another process received the signal
        raise Stopped(by, f" after optimizer step {trainer.global_step}; resume with --ckpt_path {self.path}")


def _validates_next(trainer: Trainer, batch_idx: int) -> bool:
    """Whether a validation follows this batch."""
    every = trainer.check_val_every_n_epoch
    if not trainer.enable_validation or (every is not None and (trainer.current_epoch + 1) % every):
        return False
    batches = trainer.fit_loop.total_batch_idx if every is None else batch_idx
    return trainer.val_check_batch is not None and (batches + 1) % trainer.val_check_batch == 0


def _early_stopping(trainer: Trainer) -> list[EarlyStopping]:
    return [callback for callback in trainer.callbacks if isinstance(callback, EarlyStopping)]  # type: ignore[attr-defined]


def _has_stopped(callback: EarlyStopping) -> bool:
    """Whether a restored callback had ended the run, and still would with its current patience."""
    return callback.wait_count >= callback.patience
