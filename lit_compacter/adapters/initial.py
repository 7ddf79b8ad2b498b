"""An exported adapter as the start of another run."""

from collections.abc import Mapping, Set
from typing import Any

import torch
from torch import Tensor
from transformers import T5ForConditionalGeneration

from lit_compacter.adapters.config import AdapterConfig
from lit_compacter.adapters.folder import read_adapter
from lit_compacter.backbones.loading import check_same_backbone
from lit_compacter.checkpoints.compatibility import check_shapes
from lit_compacter.errors import UserError
from lit_compacter.methods import Method


def read_initial_adapter(path: str, method: Method) -> tuple[AdapterConfig, dict[str, Tensor]]:
    """Read an adapter that a run starts from.

    Raises:
        UserError: There is none, or it has another method or other options.
    """
    config, state = read_adapter(path)
    if config.method != method:
        raise UserError(f"the adapter {path} has the method {config.method}; this run has {method} (model.method)")
    return config, state


def load_initial_adapter(
    model: T5ForConditionalGeneration, names: Set[str], path: str, method: Method, backbone: Mapping[str, Any]
) -> None:
    """Copy an adapter's tensors to a model to which its method has been applied.

    Args:
        model: The model.
        names: Names of the tensors that belong to the adapter.
        path: Folder or hub name of the adapter.
        method: The method of the model.
        backbone: Fingerprint of the model before the method was applied.

    Raises:
        UserError: The adapter does not fit the model or the method.
    """
    config, state = read_initial_adapter(path, method)
    check_same_backbone(config.backbone, backbone)
    tensors = {name: tensor for name, tensor in model.state_dict(keep_vars=True).items() if name in names}
    check_shapes("adapter", state, tensors)
    with torch.no_grad():
        for name, tensor in state.items():
            tensors[name].copy_(tensor)
