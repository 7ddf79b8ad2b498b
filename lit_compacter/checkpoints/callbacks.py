"""When checkpoints are written: the best one, the last one, and one more before a job is taken away."""

import shutil
import signal
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint, EarlyStopping, ModelCheckpoint, Timer
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn

from lit_compacter.checkpoints.format import read
from lit_compacter.errors import UserError
from lit_compacter.results.run_dir import BEST, LAST
from lit_compacter.runtime.rank import is_first_process
from lit_compacter.runtime.signals import HEARD, Stopped, on_signal, stop_at_once
from lit_compacter.utils.atomic import remove_unfinished, written_whole


class BestCheckpoint(ModelCheckpoint):
    """Keeps best.ckpt by `val/score`, also when the run folder has moved or the run goes on in a new one.

    Args:
        folder: Where best.ckpt goes.
        resumed: The checkpoint that the run resumes from; the best one until then lies beside it.
    """

    def __init__(self, folder: Path, resumed: str | None) -> None:
        super().__init__(
            folder, filename=Path(BEST).stem, monitor="val/score", mode="max", enable_version_counter=False
        )
        self.resumed = resumed
        self.until_now = Path(resumed or folder).with_name(BEST)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """As Lightning; with several processes all must go on, or none.

        Raises:
            UserError: They have found different checkpoints.
        """
        super().setup(trainer, pl_module, stage)
        if isinstance(trainer.val_check_interval, int):
            self._save_on_train_epoch_end = False  # Lightning takes an interval of 1 batch for 1.0 epochs
        if torch.distributed.is_initialized():
            found: list[str | None] = [None] * trainer.world_size
            torch.distributed.all_gather_object(found, self.resumed)
            if len(set(found)) > 1:
                raise UserError(
                    f"the processes found different checkpoints ({', '.join(map(str, found))}): a run may just have "
                    "ended in this folder, or not all machines see it; start again when all do"
                )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As Lightning, which forgets the best score where the folder has another path than it had."""
        assert self.dirpath is not None
        here = Path(self.dirpath) / BEST
        if is_first_process() and not here.exists() and self._is_of(self.until_now, state_dict):
            here.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(here) as temporary:
                shutil.copy(self.until_now, temporary)
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # the others read it whole
        if self._is_of(here, state_dict):
            path, score = str(here), state_dict["best_model_score"]
            state_dict = state_dict | {"dirpath": self.dirpath, "best_model_path": path, "kth_best_model_path": path}
            state_dict["best_k_models"] = {path: score}
        super().load_state_dict(state_dict)

    def _is_of(self, path: Path, state_dict: dict[str, Any]) -> bool:
        """Is `path` the best checkpoint that `state_dict` speaks of?"""
        if not path.exists():
            return False
        recorded = read(path)["callbacks"][self.state_key]["best_model_score"]
        return bool(recorded == state_dict["best_model_score"])


class LastCheckpoint(Checkpoint):
    """Keeps last.ckpt, from which a run goes on exactly.

    It is written every `every` optimizer steps, after a validation and at an epoch's end; never by a step on which a
    validation is due, which would be lost, but after it. On SIGTERM, SIGUSR1 and Ctrl-C it is written after the step
    or the validation at hand, and the process ends.

    Args:
        folder: Where last.ckpt goes.
        every: Optimizer steps between writes.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.path = folder / LAST
        self.every = every
        self.signal: signal.Signals | None = None
        self.trained = False  # has this start taken an optimizer step?
        self.step = 0  # optimizer steps taken at the last look

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.step = trainer.global_step
        if trainer.is_global_zero:
            remove_unfinished(self.path.parent)
        on_signal(self._told_to_stop)  # in place of Lightning's, which broadcasts within the handler
        trainer.should_stop |= any(map(_has_stopped, _early_stopping(trainer)))  # no checkpoint of Lightning's says so

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.trained:
            rank_zero_warn(
                f"nothing was trained: the run was over at optimizer step {trainer.global_step}, where the checkpoint "
                f"is; to train on, {_what_to_raise(trainer)}"
            )

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        for callback in _early_stopping(trainer):
            checkpoint["callbacks"][callback.state_key]["thresholds"] = _thresholds(callback)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Let this run's early stopping options win over those that Lightning saved with its state."""
        for callback in _early_stopping(trainer):
            if state := checkpoint["callbacks"].get(callback.state_key):
                state["patience"] = callback.patience
                if state.get("thresholds") != _thresholds(callback):
                    state["stopping_reason"] = EarlyStoppingReason.NOT_STOPPED.value

    def _told_to_stop(self, number: int, frame: Any) -> None:
        HEARD.set()
        self.signal = signal.Signals(number)
        if self.signal == signal.SIGINT:
            signal.signal(number, stop_at_once)
            rank_zero_info("stopping after this step or validation; Ctrl-C again stops at once and saves nothing more")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.step:  # gradients are being accumulated
            return
        self.step, self.trained = trainer.global_step, True
        loop = trainer.fit_loop.epoch_loop
        if loop._num_ready_batches_reached() or loop._should_check_val_fx(trainer.fit_loop._data_fetcher):  # type: ignore[arg-type]
            return
        stop = self._stop(trainer)
        if stop or self.step % self.every == 0:
            trainer.save_checkpoint(self.path, weights_only=False)
        if stop:
            self._exit(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking and not trainer.fit_loop.epoch_loop._num_ready_batches_reached():
            trainer.save_checkpoint(self.path, weights_only=False)
            if self._stop(trainer):
                self._exit(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.save_checkpoint(self.path, weights_only=False)
        if self._stop(trainer):
            self._exit(trainer)

    def _stop(self, trainer: Trainer) -> bool:
        """Was any process told to stop? All get the same answer."""
        return trainer.strategy.reduce_boolean_decision(self.signal is not None, all=False)

    def _exit(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero:  # Lightning kills what is left where a process that it launched fails
            raise SystemExit(0)
        by = self.signal or signal.SIGTERM  # or another process was told
        raise Stopped(by, f" after optimizer step {trainer.global_step}; go on with --ckpt_path {self.path}")


def _early_stopping(trainer: Trainer) -> list[EarlyStopping]:
    return [callback for callback in trainer.callbacks if isinstance(callback, EarlyStopping)]  # type: ignore[attr-defined]


def _thresholds(callback: EarlyStopping) -> list[float | None]:
    return [callback.stopping_threshold, callback.divergence_threshold]


def _has_stopped(callback: EarlyStopping) -> bool:
    """Whether a restored callback had ended the run and its present options still do."""
    by_patience = (EarlyStoppingReason.NOT_STOPPED, EarlyStoppingReason.PATIENCE_EXHAUSTED)
    return callback.wait_count >= callback.patience or callback.stopping_reason not in by_patience


def _what_to_raise(trainer: Trainer) -> str:
    """The option that ended a run which had nothing left to do."""
    if trainer.max_epochs is not None and 0 <= trainer.max_epochs <= trainer.current_epoch:
        return f"raise --trainer.max_epochs {trainer.max_epochs}"
    if 0 <= trainer.max_steps <= trainer.global_step:
        return f"raise --trainer.max_steps {trainer.max_steps}"
    for timer in (callback for callback in trainer.callbacks if isinstance(callback, Timer)):  # type: ignore[attr-defined]
        if (left := timer.time_remaining()) is not None and left <= 0:
            return "raise --trainer.max_time, the time of all starts together"
    for stopped in filter(_has_stopped, _early_stopping(trainer)):
        if stopped.wait_count >= stopped.patience:
            return f"raise the patience of EarlyStopping on {stopped.monitor}, {stopped.patience}"
        return f"change the thresholds of EarlyStopping on {stopped.monitor}, of which one was reached"
    return "raise --trainer.max_epochs"
