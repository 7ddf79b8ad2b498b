"""Adapters on a stock T5, for other programs: the functions that `import lit_compacter` gives."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from torch import nn
from transformers import T5ForConditionalGeneration

from lit_compacter.adapters.config import AdapterConfig
from lit_compacter.adapters.folder import find_adapter, read_adapter, write_adapter
from lit_compacter.adapters.importers import find_importer, import_adapter
from lit_compacter.adapters.manager import AdapterManager
from lit_compacter.backbones.loading import check_same_backbone
from lit_compacter.methods import Method

DEFAULT_NAME = "default"


def add_adapter(model: T5ForConditionalGeneration, method: Method, name: str = DEFAULT_NAME) -> None:
    """Add a new adapter to train, and make it active. The backbone is frozen.

    Train `trainable_parameters(model)` in any loop, or with Hugging Face's Trainer.

    Args:
        model: A stock T5, which is changed in place.
        method: What to add, such as `Compacter(reduction_factor=32)`.
        name: A new name.

    Raises:
        ValueError: The name is taken, or the method does not fit the model.
    """
    manager = AdapterManager.of(model)
    manager.add(name, AdapterConfig(method, base_model=model.name_or_path or None, backbone=manager.backbone))


def load_adapter(
    model: T5ForConditionalGeneration,
    path: str | Path,
    name: str = DEFAULT_NAME,
    *,
    revision: str | None = None,
    token: str | None = None,
    is_trainable: bool = False,
) -> None:
    """Load an adapter from a folder or the hub, and make it active.

    It may also be one of AdapterHub (bottleneck and PHM adapters, Compacter), of PEFT, or the pytorch_model.bin of the
    paper's own code.

    Args:
        model: The stock T5 that the adapter was trained on, in any precision. It is changed in place.
        path: Folder, or name on the hub.
        name: A new name.
        revision: Branch, tag or commit on the hub. Default: the main branch.
        token: Access token for the hub. Default: the one that you are logged in with.
        is_trainable: Whether the adapter is trained further.

    Raises:
        ValueError: There is no adapter, it was trained on another model, or the name is taken. The model is as before.
            Adapters of AdapterHub and PEFT do not say on which weights they were trained: only shapes are compared.
    """
    folder = find_adapter(path, revision, token)
    manager = AdapterManager.of(model)
    if (foreign := find_importer(folder)) is not None:
        with manager.temporarily(None):
            config, state = import_adapter(folder, *foreign, model)
        config.backbone = manager.backbone
    else:
        config, state = read_adapter(folder)
        check_same_backbone(config.backbone, manager.backbone)
    manager.add(name, config, state, is_trainable)


def save_adapter(model: T5ForConditionalGeneration, folder: str | Path, name: str | None = None) -> None:
    """Write an adapter to a folder, for `load_adapter`. Files that are there are replaced.

    Args:
        model: A model with adapters.
        folder: The folder, which is created if need be.
        name: The adapter. Default: the active one.
    """
    manager = AdapterManager.of(model)
    name = manager.active_name if name is None else name
    write_adapter(Path(folder), manager[name].config, manager.state(name))


def set_adapter(model: T5ForConditionalGeneration, name: str) -> None:
    """Make another adapter active."""
    AdapterManager.of(model).activate(name)


def delete_adapter(model: T5ForConditionalGeneration, name: str) -> None:
    """Delete an adapter. If it was active, the stock model is active; after the last one nothing is left of them."""
    AdapterManager.of(model).delete(name)


def active_adapter(model: T5ForConditionalGeneration) -> str | None:
    """The name of the active adapter; None if the stock model is active."""
    return AdapterManager.of(model).active


def disable_adapters(model: T5ForConditionalGeneration) -> AbstractContextManager[None]:
    """A context in which the model is the stock model."""
    return AdapterManager.of(model).temporarily(None)


def use_adapters(model: T5ForConditionalGeneration, names: Sequence[str]) -> AbstractContextManager[None]:
    """A context in which each row of a batch uses an adapter of its own, in one pass.

    Each row gives what it gives alone with its adapter. For inference.

    Args:
        model: A model with adapters.
        names: An adapter for each row. All need the same method with the same options, of the adapter family.

    Raises:
        ValueError: There is no such adapter, or they cannot be in one batch.
    """
    return AdapterManager.of(model).mixed(names)


def trainable_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters to give to an optimizer."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
