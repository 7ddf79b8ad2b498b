"""Adapters that other programs have written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import T5ForConditionalGeneration

from lit_compacter.adapters.config import AdapterConfig
from lit_compacter.adapters.folder import CONFIG, load_tensors
from lit_compacter.adapters.importers.adapterhub import convert_adapterhub_tensors, make_adapterhub_method
from lit_compacter.adapters.importers.paper import convert_paper_tensors, infer_method
from lit_compacter.adapters.importers.peft import convert_peft_tensors, make_peft_method
from lit_compacter.adapters.injection import Injection
from lit_compacter.errors import UserError
from lit_compacter.methods import Method

ADAPTERHUB_FILES = ("adapter.safetensors", "pytorch_adapter.bin")
PEFT_FILES = ("adapter_model.safetensors", "adapter_model.bin")
PAPER_FILES = ("pytorch_model.bin",)
Importer = Callable[[Path, dict[str, Any], T5ForConditionalGeneration], tuple[Method, dict[str, Tensor]]]


def find_importer(folder: Path) -> tuple[Importer, dict[str, Any]] | None:
    """How to read an adapter of another program, and its adapter_config.json; None if it is none of those known."""
    path = folder / CONFIG
    if not path.exists():
        return (_read_paper, {}) if (folder / PAPER_FILES[0]).exists() else None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    if not isinstance(content, dict):
        return None
    if "peft_type" in content:
        return _read_peft, content
    return (_read_adapterhub, content) if isinstance(content.get("config"), dict) else None


def import_adapter(
    folder: Path, importer: Importer, content: dict[str, Any], model: T5ForConditionalGeneration
) -> tuple[AdapterConfig, dict[str, Tensor]]:
    """Read an adapter of another program.

    Args:
        folder: Its folder.
        importer: As `find_importer` returns it, with
        content: the content of adapter_config.json.
        model: The stock model.

    Raises:
        UserError: It cannot be reproduced here, or a file is damaged.
    """
    method, state = importer(folder, content, model)
    named = content.get("base_model_name_or_path") or content.get("model_name") or model.name_or_path
    return AdapterConfig(method, base_model=named or None), state


def _read_adapterhub(
    folder: Path, content: dict[str, Any], model: T5ForConditionalGeneration
) -> tuple[Method, dict[str, Tensor]]:
    method = make_adapterhub_method(content["config"], str(folder / CONFIG))
    path = _first(folder, ADAPTERHUB_FILES)
    return method, convert_adapterhub_tensors(load_tensors(path), method, model, str(path))


def _read_paper(
    folder: Path, content: dict[str, Any], model: T5ForConditionalGeneration
) -> tuple[Method, dict[str, Tensor]]:
    path = folder / PAPER_FILES[0]
    tensors = load_tensors(path)
    method = infer_method(tensors, model, str(path))
    return method, convert_paper_tensors(tensors, method, model, str(path))


def _read_peft(
    folder: Path, content: dict[str, Any], model: T5ForConditionalGeneration
) -> tuple[Method, dict[str, Tensor]]:
    method = make_peft_method(content)
    path = _first(folder, PEFT_FILES)
    injection = Injection(model, method)  # for the names of its tensors
    injection.disable()
    return method, convert_peft_tensors(load_tensors(path), injection.tensors, str(path))


def _first(folder: Path, names: tuple[str, ...]) -> Path:
    found = next((folder / name for name in names if (folder / name).exists()), None)
    if found is None:
        raise UserError(f"{folder} has no {' or '.join(names)}")
    return found
