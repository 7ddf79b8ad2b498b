"""An adapter as a folder or hub repository: adapter_config.json, adapter_model.safetensors and a model card."""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from lit_compacter.adapters.card import model_card
from lit_compacter.adapters.config import AdapterConfig
from lit_compacter.errors import UserError, first_line
from lit_compacter.hub.repository import find_repository
from lit_compacter.utils.atomic import atomic_write
from lit_compacter.utils.console import console
from lit_compacter.utils.run_files import CURVE

CONFIG, TENSORS, CARD = "adapter_config.json", "adapter_model.safetensors", "README.md"
FILES = (TENSORS, "adapter.safetensors", "pytorch_adapter.bin", "adapter_model.bin")  # the last ones of other programs


def write_adapter(
    folder: Path, config: AdapterConfig, state: Mapping[str, Tensor], hub_name: str | None = None
) -> None:
    """Write an adapter.

    Args:
        folder: The folder, which is created if need be. Files that are there are replaced; a learning curve is shown.
        config: What the adapter is.
        state: Its tensors by name, on the CPU.
        hub_name: The name that it gets on the hub. Default: none, so the card names the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / TENSORS) as temporary:
        # As bytes, because save_file makes a file that only its owner can read.
        temporary.write_bytes(save({name: tensor.contiguous() for name, tensor in state.items()}, {"format": "pt"}))
    texts = {
        CONFIG: json.dumps(config.to_json(), indent=2) + "\n",
        CARD: model_card(config, state, hub_name or str(folder), (folder / CURVE).exists()),
    }
    for name, text in texts.items():
        with atomic_write(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def read_adapter(
    path: str | Path, revision: str | None = None, token: str | None = None
) -> tuple[AdapterConfig, dict[str, Tensor]]:
    """Read an adapter from a folder or the hub.

    Raises:
        UserError: There is none, or a file is damaged or of another kind.
    """
    folder = find_adapter(path, revision, token)
    try:
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} has no {CONFIG}; expected what `export` or save_adapter has written") from error
    except ValueError as error:
        raise UserError(f"{folder / CONFIG} is not JSON: {first_line(error)}") from error
    config = AdapterConfig.from_json(content, str(folder / CONFIG))
    return config, load_tensors(folder / TENSORS)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors or .bin file; nothing else is unpickled.

    Raises:
        UserError: It is damaged, or a pickle of more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is a pickle of more than tensors, which could run code, so it is not loaded"
        ) from error
    except (OSError, RuntimeError, SafetensorError, EOFError) as error:
        raise UserError(f"cannot read {path}: {first_line(error)}") from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise UserError(f"{path} is not a state dict")
    return tensors


def find_adapter(path: str | Path, revision: str | None = None, token: str | None = None) -> Path:
    """The folder of an adapter, which is downloaded if `path` is not a folder but a name on the hub.

    Raises:
        UserError: There is no such folder, or the hub refuses.
    """
    if Path(path).is_dir():
        return Path(path)
    name = str(path)
    if name[:1] in ("/", ".", "~") or name.count("/") != 1:
        raise UserError(f"no folder {name!r}; expected an adapter's folder or its name on the hub")
    console.print(f"{name} is no folder: looking for it on the hub", markup=False, soft_wrap=True)
    return find_repository("model", name, revision, CONFIG, token).download([[CONFIG]], [[file] for file in FILES])
