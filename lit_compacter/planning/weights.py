"""The tensors that a fine-tuned model holds."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn
from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.t5 import blocks
from lit_compacter.results.resources import count_parameters


@dataclass(frozen=True)
class WeightSizes:
    """Sizes of a model's tensors, in bytes.

    Attributes:
        counts: Number of trained parameters, and of all.
        trained: The trained parameters, which are also the size of their gradients.
        largest: The largest trained parameter.
        whole: What a sharded backbone holds on each process too: what the method adds or trains, and buffers.
        blocks: The frozen parameters of each block.
        rest: The frozen parameters that are in no block: embeddings, output layer, final norms.
        largest_linear: Not bytes, but the number of weights of the largest linear layer.
    """

    counts: tuple[int, int]
    trained: int
    largest: int
    whole: int
    blocks: tuple[int, ...]
    rest: int
    largest_linear: int

    @property
    def total(self) -> int:
        """All tensors."""
        return self.whole + sum(self.blocks) + self.rest


def weigh(model: T5ForConditionalGeneration, saved_names: Iterable[str]) -> WeightSizes:
    """Sizes of a model's tensors.

    Args:
        model: A fine-tuned model.
        saved_names: Names of the tensors that the method adds or trains, of which each process holds all.
    """
    saved, parameters = set(saved_names), dict(model.named_parameters())
    trained = [parameter for parameter in parameters.values() if parameter.requires_grad]
    sharded = {parameter for name, parameter in parameters.items() if name not in saved}
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    in_blocks = tuple(num_bytes(set(block.parameters()) & sharded) for block in blocks(model))
    return WeightSizes(
        counts=count_parameters(model),
        trained=num_bytes(trained),
        largest=max(parameter.nbytes for parameter in trained),
        whole=num_bytes(set(parameters.values()) - sharded) + num_bytes(model.buffers()),
        blocks=in_blocks,
        rest=num_bytes(sharded) - sum(in_blocks),
        largest_linear=max(linear.in_features * linear.out_features for linear in linears),
    )


def num_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
