"""What a method changes in a stock model, so that it can be taken out and put back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.hooks import Hook, add_hook, record_hooks
from lit_compacter.checkpoints.format import names_to_save, tensors
from lit_compacter.layers import Subspace
from lit_compacter.methods import Method


class Absent(Enum):
    """A value that the stock model does not have. As an Enum it stays the same object in a copy of the model."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT
PLAIN_ATTRIBUTES = ("peft_config",)  # which PEFT sets on the model
Place: TypeAlias = tuple[nn.Module, str]  # a module, and the name of one of its submodules, parameters or buffers


@dataclass
class Change:
    """A submodule, parameter or buffer that a method has added or replaced.

    Attributes:
        place: Where it is.
        stock: What the stock model has there; ABSENT if nothing.
        injected: What the method has put there.
    """

    place: Place
    stock: Any
    injected: Any

    def undo(self) -> None:
        if self.stock is ABSENT:
            delattr(*self.place)
        else:
            setattr(*self.place, self.stock)

    def redo(self) -> None:
        setattr(*self.place, self.injected)


class Injection:
    """A method injected into a stock model, enabled at first.

    No tensor of the stock model is written: those that the method trains, such as layer norms, are replaced by copies.

    Args:
        model: A stock model, which is changed in place.
        method: What to inject.

    Attributes:
        tensors: The adapter's tensors by name, as in checkpoints.

    Raises:
        UserError: The method does not fit the model, which is then as before.
    """

    def __init__(self, model: T5ForConditionalGeneration, method: Method) -> None:
        self.model, self.method = model, method
        self.was_trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.hooks: list[Hook] = []
        stock, base = _contents(model), tensors(model)
        try:
            with record_hooks() as self.hooks, torch.device(model.device):
                method.apply(model)
                names = names_to_save(model, base)
                _copy_trained(model, base)
                # As partial, because torch sets an attribute of the function.
                add_hook(partial(model.register_state_dict_post_hook, partial(self._drop_duplicates)))
                add_hook(partial(model.register_load_state_dict_pre_hook, partial(self._restore_duplicates)))
        except BaseException:
            self.changes = _compare(stock, _contents(model))
            self.disable()
            raise
        self.changes = _compare(stock, _contents(model))
        self._follow_model()
        self.tensors: dict[str, Tensor] = {}
        self.duplicates: dict[str, str] = {}  # another name of a shared tensor → its name
        first: dict[int, str] = {}
        for name, tensor in _named_tensors(model):
            original = first.setdefault(id(tensor), name)
            if original in names:
                self.tensors[original] = tensor
            if original in names and original != name:
                self.duplicates[name] = original
        self.subspaces = [module for module in model.modules() if isinstance(module, Subspace)]
        self.shapes = {name: tensor.shape for name, tensor in self.tensors.items()}
        self.sizes = [shape.numel() for shape in self.shapes.values()]
        self.strides = [torch.empty(shape, device="meta").stride() for shape in self.shapes.values()]

    def enable(self) -> None:
        """Put the method back into the stock model."""
        self.model.requires_grad_(False)
        self._follow_model()
        for change in self.changes:
            change.redo()
        for hook in self.hooks:
            hook.enable()

    def disable(self) -> None:
        """Take the method out: the model is the stock model again."""
        self._follow_model()
        for hook in self.hooks:
            hook.disable()
        for change in self.changes:
            change.undo()
        for parameter in self.was_trainable:
            parameter.requires_grad_(True)

    def _follow_model(self) -> None:
        """Move what is outside of the model to its device, type and mode, which may have changed."""
        reference = self.model.get_input_embeddings().weight  # which no adapter replaces
        for change in self.changes:
            for value in (change.stock, change.injected):
                if isinstance(value, nn.Module):
                    value.to(reference.device).train(self.model.training)
                    if value is change.injected and change.stock is ABSENT:  # else it holds stock modules
                        value.to(reference.dtype)
                elif isinstance(value, Tensor) and value.is_floating_point():
                    value.data = value.data.to(reference)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Write tensors into the injected ones."""
        with torch.no_grad():
            for name, tensor in state.items():
                self.tensors[name].copy_(tensor)

    def flatten(self, state: Mapping[str, Tensor]) -> Tensor:
        """All values of an adapter, one tensor after the other, on the model's device in its type."""
        first = next(iter(self.tensors.values()))
        return torch.cat([state[name].detach().flatten() for name in self.tensors]).to(first)

    def unflatten(self, values: Tensor) -> dict[str, Tensor]:
        """Views of values as `flatten` returns them, or of those of several adapters, (U, values), by name."""
        parts = values.split(self.sizes, dim=-1)
        batch = values.shape[:-1]
        return {name: part.view(batch + shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def point_to(self, values: Tensor) -> Tensor:
        """Let the injected tensors share the memory of `values`; returns them on the model's device in its type."""
        values = values.to(next(iter(self.tensors.values())))
        offset = 0
        for tensor, size, stride in zip(self.tensors.values(), self.sizes, self.strides, strict=True):
            tensor.data = values.as_strided(tensor.shape, stride, offset)  # in half the time of `split` and `view`
            offset += size
        for subspace in self.subspaces:
            subspace.clear_cache()
        return values

    def _drop_duplicates(self, module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        """Keep one name of each shared tensor in a state dict, as safetensors needs."""
        for name in self.duplicates:
            state.pop(prefix + name, None)

    def _restore_duplicates(self, module: nn.Module, state: dict[str, Any], prefix: str, *args: Any) -> None:
        """Give a state dict all names of each shared tensor before it is loaded."""
        for name, original in self.duplicates.items():
            if prefix + original in state:
                state[prefix + name] = state[prefix + original]


def _contents(model: nn.Module) -> dict[nn.Module, dict[str, Any]]:
    """Module → name → its submodules, parameters and buffers. A Linear without a bias has None."""
    return {
        module: {name: vars(module)[name] for name in PLAIN_ATTRIBUTES if name in vars(module)}
        | ({"bias": None} if getattr(module, "bias", ABSENT) is None else {})
        | dict(module.named_children())
        | dict(module.named_parameters(recurse=False))
        | dict(module.named_buffers(recurse=False))
        for module in model.modules()
    }


def _compare(
    stock: Mapping[nn.Module, Mapping[str, Any]], injected: Mapping[nn.Module, Mapping[str, Any]]
) -> list[Change]:
    """What has changed in the modules of the stock model; what an added module holds comes and goes with it."""
    return [
        Change((module, name), contents.get(name, ABSENT), value)
        for module, contents in stock.items()
        for name, value in injected.get(module, {}).items()
        if contents.get(name, ABSENT) is not value
    ]


def _copy_trained(model: nn.Module, base: list[Tensor]) -> None:
    """Replace the stock model's tensors that are trained by copies, wherever they are."""
    stock = {id(tensor) for tensor in base}
    copies: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, tensor in list(module.named_parameters(recurse=False)):
            if id(tensor) in stock and tensor.requires_grad:
                setattr(module, name, copies.setdefault(id(tensor), nn.Parameter(tensor.detach().clone())))


def _named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers under all their names."""
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)
