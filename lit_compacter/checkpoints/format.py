"""What a checkpoint holds, and what it must agree with before it is used.

A checkpoint is Lightning's (loops, optimizer, scheduler, callbacks) with two differences: `state_dict` has only what
the method added or trains, and a plain `lit_compacter` block says what it was made with. Nothing in it configures a
run.
"""

import contextlib
import io
import os
import pickle
import traceback
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor, nn

from lit_compacter.errors import UserError, first_line
from lit_compacter.utils.atomic import written_whole

BLOCK = "lit_compacter"
FORMAT = 3
RESTORING = {"_restore_modules_and_callbacks", "restore_training_state"}  # Lightning's functions
FIELDS: dict[str, type] = {"format": int} | dict.fromkeys(("method", "task", "majority", "model_name"), str)
FIELDS |= dict.fromkeys(("options", "inputs", "backbone"), dict)


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
        with zipfile.ZipFile(path) as parts:
            if damaged := parts.testzip():  # checksums, which torch writes and does not compare
                raise zipfile.BadZipFile(f"{damaged} is damaged")
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
    if absent := FIELDS.keys() - block.keys():
        raise UserError(f"{path} is damaged: its {BLOCK!r} block lacks {', '.join(sorted(absent))}")
    dicts = [part for part in (checkpoint["state_dict"], *block.values()) if isinstance(part, dict)]
    if (
        not isinstance(checkpoint["state_dict"], dict)
        or any(not isinstance(block[name], kind) for name, kind in FIELDS.items())
        or any(not isinstance(key, str) for part in dicts for key in part)
    ):
        raise UserError(f"{path} is damaged: its tensors or its {BLOCK!r} block have another form")
    return checkpoint


def check(
    checkpoint: Mapping[str, Any], expected: Mapping[str, Any], state: Mapping[str, Tensor], resume: bool
) -> None:
    """Refuse a checkpoint that was made with something else.

    Args:
        checkpoint: As `read` returns it.
        expected: This run's block.
        state: This run's tensors under the names that a checkpoint has, in the form they must have.
        resume: Training goes on, so the task and how its inputs are made must be the same too.

    Raises:
        UserError: The method, its options, the backbone, the task, its inputs or a tensor differ; the message names
            both sides.
    """
    theirs = checkpoint[BLOCK]
    for key in ("method", "options", "backbone", *(("task", "inputs") if resume else ())):
        if theirs[key] != expected[key]:
            theirs_text, ours_text = _difference(theirs[key], expected[key])
            names = f" ({theirs['model_name']} and {expected['model_name']})" if key == "backbone" else ""
            raise UserError(
                f"the checkpoint was made with {key} {theirs_text}, this run has {key} {ours_text}{names}; "
                "give the same (--config with the run's own config.yaml does), or another checkpoint"
            )
    forms = {name: _form(tensor) for name, tensor in checkpoint["state_dict"].items()}
    wanted = {name: _form(tensor) for name, tensor in state.items()}
    wrong = sorted(name for name in forms.keys() | wanted.keys() if forms.get(name) != wanted.get(name))
    if wrong:
        name = wrong[0]
        raise UserError(
            f"the checkpoint's tensors do not fit: {name} is {forms.get(name, 'absent')} in it and "
            f"{wanted.get(name, 'absent')} in this run ({len(wrong)} such in all)"
        )
    if broken := next((n for n, tensor in checkpoint["state_dict"].items() if not tensor.isfinite().all()), None):
        raise UserError(f"the checkpoint holds numbers that are not finite, first in {broken}; use another")


def check_progress(checkpoint: Mapping[str, Any], trained: Sequence[Tensor]) -> None:
    """Refuse a checkpoint that has not all that a run goes on from.

    Args:
        checkpoint: As `read` returns it.
        trained: This run's trained tensors, in the optimizer's order.

    Raises:
        UserError: A part is absent, or a moment of Adam's is not of its tensor's form, or not finite.
    """
    parts = ("loops", "callbacks", "optimizer_states", "lr_schedulers")
    if lacking := [name for name in parts if not checkpoint.get(name)]:
        raise UserError(f"the checkpoint lacks {', '.join(lacking)}: it is for evaluation only; go on from last.ckpt")
    for number, state in checkpoint["optimizer_states"][0]["state"].items():
        for name in ("exp_avg", "exp_avg_sq"):
            if _form(state[name]) != _form(trained[number]) or not state[name].isfinite().all() or state["step"] < 1:
                raise UserError(f"the checkpoint is damaged: {name} of the optimizer's tensor {number} does not fit it")


def _form(tensor: Tensor) -> str:
    """The shape and, where it is none of real numbers, the kind of a tensor."""
    return str(tuple(tensor.shape)) + ("" if tensor.is_floating_point() else f" of {tensor.dtype}")


@contextlib.contextmanager
def restored(path: str | None) -> Iterator[None]:
    """Raise UserError where Lightning or torch stumbles over what the checkpoint `path` gives them."""
    try:
        yield
    except (LookupError, ArithmeticError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        within = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
        if isinstance(error, UserError) or not within & RESTORING:
            raise
        raise UserError(
            f"{path} is damaged: a run cannot go on from what it holds ({type(error).__name__}: {first_line(error)}); "
            "use another"
        ) from error


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


def check_readable(checkpoint: Mapping[str, Any]) -> None:
    """Refuse to write what `read` would refuse: states with other things than tensors and plain values.

    Raises:
        UserError: A callback, or another part of the run, keeps such a thing; the message names both.
    """
    for part in checkpoint.keys() - {"state_dict", "optimizer_states"}:  # which are tensors
        states = checkpoint[part].items() if part == "callbacks" else [(part, checkpoint[part])]
        for name, state in states:
            if refused := _unreadable(state):
                raise UserError(
                    f"the state of {part.removesuffix('s')} {name!r} cannot be kept in a checkpoint: it has {refused}; "
                    "its state_dict must return tensors and plain values only, such as float(x) for a numpy number or "
                    "str(x) for a path or a date"
                )


def _unreadable(state: Any) -> str:
    """What of a state `torch.load(weights_only=True)` refuses, or nothing."""
    file = io.BytesIO()
    try:
        torch.save(state, file)
        file.seek(0)
        torch.load(file, weights_only=True)
    except pickle.UnpicklingError:
        file.seek(0)
        return ", ".join(sorted(torch.serialization.get_unsafe_globals_in_checkpoint(file))) or "an object"
    except Exception as error:  # pickle raises whatever it stumbles over
        return first_line(error)
    return ""


class AdapterCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are written whole or not at all, and never unpickled into anything but plain values."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write beside `path`, flush to the disk, then rename over it.

        Raises:
            UserError: The disk is full, the folder cannot be written, or `read` would refuse what a callback keeps.
        """
        path = Path(path)
        check_readable(checkpoint)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with written_whole(path) as temporary, temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch's writer raises the latter on a full disk
            raise UserError(
                f"cannot write {path}: {first_line(error)}; what was there is whole. Is the disk full? Make room, "
                "then go on with --ckpt_path last"
            ) from error

    def load_checkpoint(
        self, path: str | Path, map_location: Callable[..., Any] | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """`read`, whatever `weights_only` says; tensors are moved to their device as they are copied."""
        return read(path)
