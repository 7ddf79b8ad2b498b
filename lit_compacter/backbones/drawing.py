"""Random weights of which each process keeps its part: drawn whole, one tensor at a time, in transformers' order."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PretrainedConfig

from lit_compacter.backbones.loading import first_rows, random_backbone
from lit_compacter.backbones.placeholders import placeholder
from lit_compacter.backbones.weights import Part, Weights
from lit_compacter.errors import UserError

FACTORIES = (torch.empty, torch.ones, torch.empty_like)  # of parameters, which an initialization fills afterward
Pieces = list[tuple[int, Tensor]]  # first row and values


class RandomWeights(Weights):
    """The weights that transformers draws from torch's global generator.

    Vectors are held whole, because methods train layer norms; of matrices, the part of this process and the first rows.

    Args:
        config: The model's config.
        part: The part to hold.
    """

    def __init__(self, config: PretrainedConfig, part: Part) -> None:
        with _Drawing(part) as drawing:
            self.model = random_backbone(config)
        self.pieces = {parameter: drawing.pieces[parameter] for parameter in self.model.parameters()}

    def rows(self, parameter: Tensor, rows: slice) -> Tensor:
        for start, values in self.pieces[parameter]:
            if start <= rows.start and rows.stop <= start + len(values):
                return values[rows.start - start : rows.stop - start].to(parameter.dtype)
        raise UserError(
            "strategy sharded with --model.pretrained false trains no matrices of the backbone; use "
            "--trainer.strategy ddp"
        )


class _Drawing(TorchFunctionMode):
    """Makes new parameters placeholders. What an initialization would write to one is drawn, and the part is kept."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.part = part
        self.pieces: dict[Tensor, Pieces] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if func in FACTORIES:
            empty = func(*args, **options | {"device": "meta"})
            return placeholder(empty.shape, empty.dtype)
        if isinstance(parameter := options.pop("tensor", None), nn.Parameter):  # torch.nn.init's functions give it so
            values = torch.empty(parameter.shape, dtype=parameter.dtype)
            func(values, **options)
            self.pieces[parameter] = self._pieces(values)
            return parameter
        return func(*args, **kwargs or {})

    def _pieces(self, values: Tensor) -> Pieces:
        if values.dim() == 1:
            return [(0, values)]
        own = self.part.rows(values)
        return [(0, values[first_rows(values)].clone()), (own.start, values[own].clone())]
