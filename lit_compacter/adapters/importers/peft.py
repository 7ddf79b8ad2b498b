"""Adapters of the PEFT library, for the methods that we run by PEFT."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from lit_compacter.errors import UserError
from lit_compacter.methods import Peft

PREFIX = "base_model.model."  # of PEFT's wrapper
NAME = ".default"  # of an adapter in PEFT's modules
NOT_OPTIONS = ("task_type", "base_model_name_or_path", "revision", "auto_mapping", "inference_mode", "peft_version")


def make_peft_method(content: Mapping[str, Any]) -> Peft:
    """The method of an adapter of PEFT.

    Args:
        content: The content of its adapter_config.json.

    Raises:
        UserError: PEFT is not installed, or it is a method that we do not run.
    """
    kind = type(Peft({"peft_type": content["peft_type"], **_needed(content)}).make_config())
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    options = {name: value for name, value in content.items() if name in defaults and name not in NOT_OPTIONS}
    changed = {name: value for name, value in options.items() if value != defaults[name] and value not in ({}, [])}
    return Peft(changed | {"peft_type": content["peft_type"]})


def _needed(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: content[name] for name in ("target_modules", "feedforward_modules") if content.get(name)}


def peft_key(name: str) -> str:
    """The key in PEFT's files of a tensor in a model that PEFT has changed."""
    return PREFIX + name.replace(NAME, "", 1)


def convert_peft_tensors(tensors: Mapping[str, Tensor], names: Iterable[str], where: str) -> dict[str, Tensor]:
    """PEFT's tensors under our names.

    Args:
        tensors: The content of adapter_model.safetensors.
        names: Our names of the method's tensors.
        where: The file, for messages.

    Raises:
        UserError: A tensor is absent or not known.
    """
    ours = {peft_key(name): name for name in names}
    if wrong := sorted(ours.keys() ^ tensors.keys()):
        raise UserError(f"{where}: {wrong[0]} is {'absent' if wrong[0] in ours else 'not known'} ({len(wrong)} in all)")
    return {ours[key]: tensor for key, tensor in tensors.items()}
