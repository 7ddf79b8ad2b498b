"""What a checkpoint holds, and what it must agree with before it is used.

A checkpoint is Lightning's (loops, optimizer, scheduler, callbacks) with two differences: `state_dict` has only what
the method added or trains, and a plain `lit_compacter` block says what it was made with. Nothing in it configures a
run.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor, nn

from lit_compacter.errors import UserError

BLOCK = "lit_compacter"
FORMAT = 2
FIELDS = {"format", "method", "options", "task", "inputs", "majority", "model_name", "backbone"}


def names_to_save(model: nn.Module, base: Iterable[Tensor]) -> set[str]:
    """The one rule for saving: every tensor that is not among the stock model's, `base`, and every one that is trained.

    A tensor that several modules share is named once. Buffers that can be made again are non-persistent, so not here.
    """
    ours = {id(tensor) for tensor in base}  # a method may give a base tensor another name
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}  # without second names of shared tensors
    trained = {name for name, tensor in named.items() if tensor.requires_grad}
    added = {name for name, tensor in named.items() if id(tensor) not in ours} & model.state_dict().keys()
    return trained | added


def tensors(model: nn.Module) -> list[Tensor]:
    """A model's parameters and buffers."""
    return [*model.parameters(), *model.buffers()]


def read(path: str | Path) -> dict[str, Any]:
    """Load a checkpoint on the CPU; it can hold tensors and plain values only (`weights_only=True`).

    Raises:
        UserError: There is no such file, it is damaged, or it is not a checkpoint of this program and format.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"no checkpoint {path}") from error
    except Exception as error:  # torch raises whatever its zip and pickle readers stumble over
        raise UserError(
            f"{path} is not a whole checkpoint (it is truncated, damaged or something else); use another"
        ) from error
    block = checkpoint.get(BLOCK) if isinstance(checkpoint, dict) else None
    if not isinstance(block, dict) or "state_dict" not in checkpoint:
        raise UserError(f"{path} was not written by lit-compacter: it has no {BLOCK!r} block")
    if block.get("format") != FORMAT:
        raise UserError(
            f"{path} has format {block.get('format')}, this version reads format {FORMAT}; "
            "use the version that wrote it"
        )
    if absent := FIELDS - block.keys():
        raise UserError(f"{path} is damaged: its {BLOCK!r} block lacks {', '.join(sorted(absent))}")
    return checkpoint


def check(
    checkpoint: Mapping[str, Any], expected: Mapping[str, Any], state: Mapping[str, Tensor], resume: bool
) -> None:
    """Refuse a checkpoint that was made with something else.

    Args:
        checkpoint: As `read` returns it.
        expected: This run's block.
        state: This run's tensors under the names that a checkpoint has, in the form they must have.
        resume: Training goes on, so the task and how its inputs are made must be the same too, and the checkpoint must
            be of an epoch's end.

    Raises:
        UserError: The method, its options, the backbone, the task, its inputs or a tensor differ; the message names
            both sides. Or the checkpoint is of the middle of an epoch.
    """
    theirs = checkpoint[BLOCK]
    for key in ("method", "options", "backbone", *(("task", "inputs") if resume else ())):
        if theirs[key] != expected[key]:
            theirs_text, ours_text = _difference(theirs[key], expected[key])
            names = f" ({theirs['model_name']} and {expected['model_name']})" if key == "backbone" else ""
            raise UserError(
                f"the checkpoint was made with {key} {theirs_text}, this run has {key} {ours_text}{names}; "
                "give the same, or another checkpoint"
            )
    shapes = {name: tuple(tensor.shape) for name, tensor in checkpoint["state_dict"].items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wrong = sorted(name for name in shapes.keys() | wanted.keys() if shapes.get(name) != wanted.get(name))
    if wrong:
        name = wrong[0]
        raise UserError(
            f"the checkpoint's tensors do not fit: {name} is {shapes.get(name, 'absent')} in it and "
            f"{wanted.get(name, 'absent')} in this run ({len(wrong)} such in all)"
        )
    if resume and not checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["is_last_batch"]:
        raise UserError(
            "the checkpoint is of the middle of an epoch, from where training cannot go on exactly; "
            "resume from one of an epoch's end (leave --trainer.val_check_interval at 1.0)"
        )


def set_optimizer_options(checkpoint: Mapping[str, Any], learning_rate: float, weight_decay: float) -> None:
    """Let this run's options win over those that the optimizer and the schedule saved with their state."""
    for schedule in checkpoint["lr_schedulers"]:
        schedule["base_lrs"] = [learning_rate] * len(schedule["base_lrs"])
    for optimizer in checkpoint["optimizer_states"]:
        for group in optimizer["param_groups"]:
            group["lr"] *= learning_rate / group["initial_lr"]  # 1 where nothing was changed, so the resume is exact
            group["initial_lr"], group["weight_decay"] = learning_rate, weight_decay


def _difference(theirs: Any, ours: Any) -> tuple[str, str]:
    """Both sides as text; of two dicts only the entries that differ."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        differing = [key for key in {**theirs, **ours} if theirs.get(key) != ours.get(key)]
        return tuple(", ".join(f"{k}={side.get(k)}" for k in differing) for side in (theirs, ours))  # type: ignore[return-value]
    return str(theirs), str(ours)


class BestCheckpoint(ModelCheckpoint):
    """Keeps best.ckpt by `val/score`, also when the run folder has moved or the run goes on in a new one.

    Args:
        folder: Where best.ckpt goes.
        resumed: The checkpoint that the run resumes from; the best one until then lies beside it.
    """

    def __init__(self, folder: Path, resumed: str | None) -> None:
        super().__init__(folder, filename="best", monitor="val/score", mode="max", enable_version_counter=False)
        self.until_now = Path(resumed or folder).with_name("best.ckpt")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As Lightning, which forgets the best score where the folder has another path than it had."""
        assert self.dirpath is not None
        here = Path(self.dirpath) / "best.ckpt"
        if not here.exists() and self._is_of(self.until_now, state_dict):
            here.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.until_now, here)
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


class AdapterCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are written whole or not at all, and never unpickled into anything but plain values."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write beside `path`, flush to the disk, then rename over it."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def load_checkpoint(
        self, path: str | Path, map_location: Callable[..., Any] | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """`read`, whatever `weights_only` says; tensors are moved to their device as they are copied."""
        return read(path)
