"""Check that a checkpoint fits a run before the run uses it."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lit_compacter.checkpoints.format import METADATA_KEY, Metadata
from lit_compacter.errors import UserError

ALWAYS = ("method", "options", "backbone")
TO_RESUME = ("task", "inputs")
PROGRESS = ("loops", "callbacks", "optimizer_states", "lr_schedulers")  # what a resumed run continues from


def check_compatible(
    checkpoint: Mapping[str, Any], current: Metadata, state: Mapping[str, Tensor], resume: bool
) -> None:
    """Refuse a checkpoint that does not fit this run.

    Args:
        checkpoint: As `read_checkpoint` returns it.
        current: This run's metadata.
        state: This run's tensors, under their names in a checkpoint.
        resume: Whether training continues, so that task, inputs and the optimizer's state must fit too.

    Raises:
        UserError: Method, options, backbone, task, inputs or a tensor differ, or a tensor is not finite; the message
            names both sides.
    """
    saved: Mapping[str, Any] = checkpoint[METADATA_KEY]
    for key in (*ALWAYS, *(TO_RESUME if resume else ())):
        if saved[key] != current[key]:  # type: ignore[literal-required]
            was, now = _difference(saved[key], current[key])  # type: ignore[literal-required]
            names = f" ({_model(saved)} and {_model(current)})" if key == "backbone" else ""
            raise UserError(
                f"the checkpoint was made with {key} {was}, this run has {key} {now}{names}; "
                f"{_advice(key, saved, current)}"
            )
    check_shapes("checkpoint", checkpoint["state_dict"], state)
    if broken := next((n for n, tensor in checkpoint["state_dict"].items() if not tensor.isfinite().all()), None):
        raise UserError(f"the checkpoint holds numbers that are not finite, first in {broken}; use another checkpoint")
    if resume and (absent := [part for part in PROGRESS if not checkpoint.get(part)]):
        raise UserError(f"the checkpoint lacks {', '.join(absent)}: it is for evaluation only; resume from last.ckpt")


def check_shapes(kind: str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Refuse tensors with other names or shapes than expected.

    Args:
        kind: What holds them, for the message: a checkpoint or an adapter.
        state: Tensors by name.
        expected: The tensors to which they would be copied.

    Raises:
        UserError: Names or shapes differ; the message names the first.
    """
    shapes, wanted = ({name: tuple(tensor.shape) for name, tensor in side.items()} for side in (state, expected))
    if wrong := sorted(name for name in shapes.keys() | wanted.keys() if shapes.get(name) != wanted.get(name)):
        name = wrong[0]
        raise UserError(
            f"the {kind}'s tensors do not fit: {name} is {shapes.get(name, 'absent')} in it and "
            f"{wanted.get(name, 'absent')} in this model ({len(wrong)} such in all)"
        )


def set_optimizer_options(checkpoint: Mapping[str, Any], learning_rate: float, weight_decay: float) -> None:
    """Let this run's options replace those that the optimizer and the schedule saved with their state."""
    for schedule in checkpoint["lr_schedulers"]:
        schedule["base_lrs"] = [learning_rate] * len(schedule["base_lrs"])
    for optimizer in checkpoint["optimizer_states"]:
        for group in optimizer["param_groups"]:
            group["lr"] *= learning_rate / group["initial_lr"]  # 1 if nothing has changed: the resume is exact
            group["initial_lr"], group["weight_decay"] = learning_rate, weight_decay


def _model(metadata: Mapping[str, Any]) -> str:
    commit = metadata["model_commit"]
    return f"{metadata['model_name']} at commit {commit}" if commit else str(metadata["model_name"])


def _advice(key: str, saved: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """What to do if `key` differs."""
    same_model, commit = saved["model_name"] == current["model_name"], saved["model_commit"]
    if key == "backbone" and same_model and commit not in (None, current["model_commit"]):
        return f"the model on the hub is another one at this commit; give --model.revision {commit}"
    return "use the same one (--config with the run's own config.yaml does this), or another checkpoint"


def _difference(saved: Any, current: Any) -> tuple[str, str]:
    """Both sides as text; of two dicts only the entries that differ."""
    if isinstance(saved, dict) and isinstance(current, dict):
        keys = [key for key in {**saved, **current} if saved.get(key) != current.get(key)]
        saved, current = (", ".join(f"{key}={side.get(key)}" for key in keys) for side in (saved, current))
    return str(saved), str(current)
