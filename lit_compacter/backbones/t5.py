"""The only file that names the modules of Hugging Face's T5 family: where adapters go, and how they are attached."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.hooks import add_hook

Sublayer: TypeAlias = Literal["self_attention", "cross_attention", "feed_forward"]
Options: TypeAlias = dict[str, Any]
Stack: TypeAlias = Literal["encoder", "decoder"]
DEFAULT_SUBLAYERS: tuple[Sublayer, ...] = ("self_attention", "feed_forward")  # the paper's
STACKS: tuple[Stack, ...] = ("encoder", "decoder")


@dataclass(frozen=True)
class Site:
    """A place for an adapter.

    Attributes:
        name: Name of the host module in the model.
        module: The host; its output is one tensor (B, S, dim), just before dropout and residual.
        dim: Size of that output's last dimension.
        stack: "encoder" or "decoder".
        layer: Index of the block in its stack, from 0.
    """

    name: str
    module: nn.Module
    dim: int
    stack: Literal["encoder", "decoder"]
    layer: int


NORMS = ("LayerNorm", "RMSNorm")  # how the names of their classes end

# Sublayer of a block by its index, and the module in it whose output is one tensor just before dropout and residual.
# LongT5's encoder has a different self-attention; a decoder has cross-attention between the two.
SELF_ATTENTION = ("SelfAttention", "LocalSelfAttention", "TransientGlobalSelfAttention")
SUBLAYERS: dict[tuple[Stack, Sublayer], tuple[int, tuple[str, ...]]] = {
    ("encoder", "self_attention"): (0, SELF_ATTENTION),
    ("encoder", "feed_forward"): (1, ("DenseReluDense",)),
    ("decoder", "self_attention"): (0, SELF_ATTENTION),
    ("decoder", "cross_attention"): (1, ("EncDecAttention",)),
    ("decoder", "feed_forward"): (2, ("DenseReluDense",)),
}


def sites(
    model: T5ForConditionalGeneration,
    sublayers: Iterable[Sublayer] = DEFAULT_SUBLAYERS,
    layers: Iterable[int] | None = None,
    stacks: Iterable[Stack] = STACKS,
) -> Iterator[Site]:
    """Yield the places for adapters; by default the paper's (section 2), after self-attention and feed-forward.

    Args:
        model: Any T5.
        sublayers: The sublayers that get an adapter.
        layers: Indices of blocks, from 0, in each stack. Default: all.
        stacks: Encoder, decoder or both.
    """
    chosen = None if layers is None else set(layers)
    for stack in stacks:
        for layer in range(num_blocks(model, stack)):
            for kind in sublayers if chosen is None or layer in chosen else ():
                if (stack, kind) not in SUBLAYERS:  # an encoder has no cross-attention
                    continue
                index, hosts = SUBLAYERS[stack, kind]
                sublayer = f"{stack}.block.{layer}.layer.{index}"
                host = next(name for name in hosts if hasattr(model.get_submodule(sublayer), name))
                name = f"{sublayer}.{host}" + ("" if kind == "feed_forward" else ".o")
                yield Site(name, model.get_submodule(name), model.config.d_model, stack, layer)


def num_blocks(model: T5ForConditionalGeneration, stack: Stack) -> int:
    """Number of blocks in a stack."""
    return len(model.get_submodule(f"{stack}.block"))  # type: ignore[arg-type]


def blocks(model: T5ForConditionalGeneration) -> Iterator[nn.Module]:
    """The transformer blocks of both stacks."""
    for stack in STACKS:
        yield from model.get_submodule(f"{stack}.block").children()


def named_linears(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """The linear layers of the blocks that may be replaced: not `wo`, whose weight the model itself reads."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and ".block." in name and not name.endswith(".wo"):
            yield name, module


def attach(host: nn.Module, name: str, module: nn.Module) -> None:
    """Register `module` as the submodule `name` of `host`, and apply it to the output of `host`.

    No base parameter is renamed.
    """
    if name in dict(host.named_children()):
        raise ValueError(f"{type(host).__name__} has a submodule {name!r} already: it would be applied twice")
    host.add_module(name, module)
    add_hook(partial(host.register_forward_hook, partial(_apply_submodule, name)))


def _apply_submodule(name: str, host: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
    # Look it up by name, not by reference, so that a deep copy of the model uses its own adapters.
    return host.get_submodule(name)(output)


def d_model(model: T5ForConditionalGeneration) -> int:
    """The model dimension k."""
    return int(model.config.d_model)


def named_layer_norms(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """All layer norms with their names, including the final norm of each stack."""
    return ((name, module) for name, module in model.named_modules() if type(module).__name__.endswith(NORMS))


def merge_relu_and_dropout(model: nn.Module, merged: Callable[[float], nn.Module]) -> None:
    """Replace ReLU and the dropout after it by `merged(p)`, in feed-forward layers without a gate (T5 1.0)."""
    for module in model.modules():
        if hasattr(module, "wi") and isinstance(module.act, nn.ReLU):
            module.act = merged(module.dropout.p).train(module.training)  # type: ignore[union-attr,arg-type]
            module.dropout = nn.Identity()


def add_biases(model: T5ForConditionalGeneration) -> None:
    """Add a zero bias to every linear layer and to every layer norm of a block, not to the final norms (BitFit)."""
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.bias is None:
            module.bias = nn.Parameter(module.weight.new_zeros(module.out_features))
    for name, norm in named_layer_norms(model):
        if ".block." in name:
            norm.register_parameter("bias", nn.Parameter(torch.zeros_like(norm.weight)))  # type: ignore[arg-type]
            add_hook(partial(norm.register_forward_hook, _plus_bias))


def _plus_bias(norm: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
    return output + norm.get_parameter("bias")


def prepend(model: T5ForConditionalGeneration, prompt: nn.Parameter) -> None:
    """Prepend the vectors of `prompt`, (P, d_model), to the encoder's embedded input; it becomes `encoder.prompt`."""
    model.encoder.register_parameter("prompt", prompt)
    add_hook(partial(model.encoder.register_forward_pre_hook, _prepend, with_kwargs=True))
    lengthen = partial(_lengthen, len(prompt))
    add_hook(partial(model.decoder.register_forward_pre_hook, lengthen, with_kwargs=True))


def _prepend(
    encoder: nn.Module, args: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    ids, embedded, mask = (options.get(name) for name in ("input_ids", "inputs_embeds", "attention_mask"))
    if embedded is None:
        embedded = encoder.get_submodule("embed_tokens")(ids)
    prompt = encoder.get_parameter("prompt").expand(len(embedded), -1, -1).to(embedded.dtype)  # (B, P, d)
    longer = {"input_ids": None, "inputs_embeds": torch.cat([prompt, embedded], dim=1)}  # (B, P + S, d)
    return args, options | longer | {"attention_mask": _with_ones(mask, prompt.shape[1])}


def _lengthen(
    count: int, decoder: nn.Module, args: tuple[Any, ...], options: Options
) -> tuple[tuple[Any, ...], Options]:
    mask = options.get("encoder_attention_mask")
    return args, options | {"encoder_attention_mask": _with_ones(mask, count)}


def _with_ones(mask: Tensor | None, count: int) -> Tensor | None:
    return None if mask is None else torch.cat([mask.new_ones(len(mask), count), mask], dim=1)  # (B, P + S)


def weight_hosts(model: nn.Module) -> Iterator[tuple[nn.Parameter, list[nn.Module]]]:
    """Each weight once, with all modules that use it; a tied weight has several."""
    hosts: dict[nn.Parameter, list[nn.Module]] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            hosts.setdefault(parameter, []).append(module)
    return iter(hosts.items())


def forward_with_weight(host: nn.Module, weight: Tensor, x: Tensor) -> Tensor:
    """The output of `host` for x with `weight` in place of its own weight. It is linear in the weight for any T5."""
    if isinstance(host, nn.Linear):
        return F.linear(x, weight)
    if isinstance(host, nn.Embedding):
        return F.embedding(x, weight)
    return F.rms_norm(x, weight.shape, weight, host.variance_epsilon)  # type: ignore[arg-type]


def normalize(norm: nn.Module, x: Tensor) -> Tensor:
    """The output of a layer norm of scale 1."""
    return F.rms_norm(x, x.shape[-1:], eps=norm.variance_epsilon)  # type: ignore[arg-type]


def is_layer_norm(name: str) -> bool:
    """Whether the parameter `name` belongs to a layer norm."""
    return "layer_norm" in name


def untie(model: T5ForConditionalGeneration) -> None:
    """Give a model an output layer that is not tied to the embeddings, with random weights."""
    weight = nn.Parameter(torch.empty_like(model.lm_head.weight))
    model.lm_head.weight = nn.init.normal_(weight, std=model.config.d_model**-0.5)
