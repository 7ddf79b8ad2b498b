"""Intrinsic-SAID (Aghajanyan et al., 2021): all weights change within a random subspace of few dimensions."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn
from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.hooks import add_hook
from lit_compacter.backbones.t5 import forward_with_weight, weight_hosts
from lit_compacter.errors import UserError
from lit_compacter.layers import Subspace
from lit_compacter.methods.base import Method


@dataclass
class IntrinsicSAID(Method):
    """Train d parameters θ and λ: each weight W_i becomes W_i + λ_i P_i θ with a fixed Fastfood projection P_i."""

    dim: int = 20_000
    """d, the number of trainable parameters: one λ for each weight tensor; the others form θ."""
    seed: int = 42
    """Seed of the projections, which are drawn again whenever the model is built."""

    def inject(self, model: T5ForConditionalGeneration) -> None:
        self.check(model)
        weights = list(weight_hosts(model))
        shapes = [weight.shape for weight, _ in weights]
        subspace = Subspace(self.dim, shapes, self.seed)
        model.add_module("subspace", subspace)
        for index, (_, hosts) in enumerate(weights):
            for host in hosts:
                add_hook(partial(host.register_forward_hook, partial(_shift, subspace, index)))

    def check(self, skeleton: T5ForConditionalGeneration) -> None:
        num_weights = len(list(weight_hosts(skeleton)))
        if self.dim <= num_weights:
            raise UserError(f"model.method.dim is {self.dim}; expected more than {num_weights}, the number of weights")

    def obstacle_to_quantization(self) -> str:
        return "changes all weights"

    def summary_group(self, name: str) -> str:
        return "subspace"


def _shift(subspace: Subspace, index: int, host: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
    return output + forward_with_weight(host, subspace(index), args[0]).to(output.dtype)
