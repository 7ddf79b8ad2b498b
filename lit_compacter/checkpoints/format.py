"""The contents of a checkpoint.

It is a Lightning checkpoint (loops, optimizer, scheduler, callbacks) with two differences: `state_dict` has only the
tensors that the method added or trains, and the `lit_compacter` entry describes, in plain values, how it was made.
Evaluation uses that entry for defaults; it never decides which code is imported.
"""

from collections.abc import Iterable
from typing import Any, TypedDict

from torch import Tensor, nn

METADATA_KEY = "lit_compacter"
FORMAT = 6  # incremented when checkpoints of earlier versions can no longer be read


class Metadata(TypedDict):
    """How a checkpoint was made, as plain values."""

    format: int
    method: str  # class name of a method of this package, or import path
    options: dict[str, Any]  # the method's fields
    task: str
    inputs: dict[str, Any]  # data options that training and evaluation share
    majority_target: str  # most common training target
    model_name: str
    model_commit: str | None  # on the hub; None for a folder
    data_commit: str | None  # of the data set on the hub; None for files
    backbone: dict[str, Any]  # shape and fingerprint of the pretrained model


def names_to_save(model: nn.Module, base: Iterable[Tensor]) -> set[str]:
    """Names of the tensors to save: every tensor that the method added to the stock model, and every one it trains.

    A tensor that several modules share is named once. Non-persistent buffers are left out, because the method can
    regenerate them from its seed.

    Args:
        model: The model after the method has been applied.
        base: The tensors of the stock model.
    """
    base_ids = {id(tensor) for tensor in base}  # a method may give a base tensor another name
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}  # names a shared tensor once
    trained = {name for name, tensor in named.items() if tensor.requires_grad}
    added = {name for name, tensor in named.items() if id(tensor) not in base_ids} & model.state_dict().keys()
    return trained | added


def tensors(model: nn.Module) -> list[Tensor]:
    """The parameters and buffers of a model."""
    return [*model.parameters(), *model.buffers()]
