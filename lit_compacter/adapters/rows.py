"""Batches whose rows use different adapters."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lit_compacter.adapters.injection import Injection
from lit_compacter.backbones.t5 import named_layer_norms, normalize
from lit_compacter.errors import UserError
from lit_compacter.methods import Adapter


class PerRow(nn.Module):
    """Applies a module to each row of a batch, with parameters of the row's own.

    Args:
        module: The module.
        parameters: Its parameters by name, each (U, …): one for each of U adapters.
        index: The adapter of each row, (B,).
    """

    def __init__(self, module: nn.Module, parameters: Mapping[str, Tensor], index: Tensor) -> None:
        super().__init__()
        self.wrapped = (module,)  # in a tuple, so that it is no submodule
        self.stacked = dict(parameters)
        self.index = index

    def rows(self, x: Tensor) -> dict[str, Tensor]:
        """The parameters of each row of x, (B, …). Beam search has several rows in turn for one of the batch."""
        if len(x) % len(self.index):
            raise UserError(f"{len(self.index)} names were given for a batch of {len(x)}")
        index = self.index.repeat_interleave(len(x) // len(self.index))
        return {name: parameter[index] for name, parameter in self.stacked.items()}

    def forward(self, x: Tensor) -> Tensor:
        (module,) = self.wrapped
        return torch.vmap(lambda parameters, row: functional_call(module, parameters, (row,), tie_weights=False))(
            self.rows(x), x
        )


class PerRowNorm(PerRow):
    """As PerRow, for a layer norm, in fewer operations."""

    def forward(self, x: Tensor) -> Tensor:
        (module,) = self.wrapped
        return normalize(module, x) * self.rows(x)["weight"].unsqueeze(1)  # (B, S, d)


@contextmanager
def apply_per_row(injection: Injection, values: Tensor, index: Tensor) -> Iterator[None]:
    """Let each row of a batch use an adapter of its own within the context.

    Args:
        injection: Of a method of the adapter family, enabled.
        values: The numbers of U adapters, (U, numbers).
        index: The adapter of each row, (B,), below U.

    Raises:
        UserError: The method is of another kind, or a batch has another number of rows.
    """
    if not isinstance(injection.method, Adapter):
        name = type(injection.method).__name__
        raise UserError(f"the rows of a batch can use different adapters of the adapter family only, not {name}")
    stacked = {id(injection.tensors[name]): tensor for name, tensor in injection.unflatten(values).items()}
    norms = {module for _, module in named_layer_norms(injection.model)}
    replaced: list[tuple[nn.Module, str, nn.Module]] = []
    for parent in list(injection.model.modules()):
        for name, module in parent.named_children():
            if module in norms or name == injection.method.NAME:
                tensors = module.named_parameters()
                own = {key: stacked[id(tensor)] for key, tensor in tensors}
                setattr(parent, name, (PerRowNorm if module in norms else PerRow)(module, own, index))
                replaced.append((parent, name, module))
    try:
        yield
    finally:
        for parent, name, module in replaced:
            setattr(parent, name, module)
