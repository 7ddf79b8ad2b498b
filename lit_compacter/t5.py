"""The only file that names the attributes of Hugging Face's T5: where adapters go, and how they are hung there."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, PretrainedConfig, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5LayerNorm

from lit_compacter.errors import UserError, first_line

Where: TypeAlias = Literal["attention", "feed_forward"]
WHERE: tuple[Where, ...] = ("attention", "feed_forward")
SUPPORTED = ("t5",)  # values of a config's model_type: T5 v1.0, v1.1 and Flan-T5
SHAPE = ["vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads", "feed_forward_proj"]


def load_backbone(name: str, pretrained: bool = True) -> T5ForConditionalGeneration:
    """A stock T5 in float32, from the hub or a local folder.

    Args:
        name: Hub name or folder.
        pretrained: False gives random weights of the same architecture, drawn from torch's global generator.

    Raises:
        UserError: Nothing can be loaded from `name`, or it is not a T5.
    """
    try:
        config = AutoConfig.from_pretrained(name)
        if config.model_type not in SUPPORTED:
            expected = ", ".join(SUPPORTED)
            raise UserError(f"{name} is a {config.model_type!r} model; supported model types: {expected}")
        if not pretrained:
            return _random(config)
        # Trained tensors need float32, whatever precision the file was stored in.
        return T5ForConditionalGeneration.from_pretrained(name, config=config, dtype=torch.float32)
    except UserError:
        raise
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(
            f"cannot load the model {name!r}: {first_line(error)}; "
            "offline, give a folder that holds config.json, model.safetensors and the tokenizer: --model.model_name DIR"
        ) from error


def _random(config: PretrainedConfig) -> T5ForConditionalGeneration:
    with torch.device("cpu"):  # the same weights whatever the training device
        model = T5ForConditionalGeneration(config)
        if not config.scale_decoder_outputs:  # v1.1 has an output layer of its own, which a new model lacks
            model.lm_head.weight = nn.Parameter(torch.randn_like(model.lm_head.weight) * config.d_model**-0.5)
    return model


@dataclass(frozen=True)
class Site:
    """One place of the network whose output an adapter may change.

    Attributes:
        name: The host module's name in the model.
        module: The host, whose single output tensor is (B, S, dim), just before dropout and residual.
        dim: Size of that output's last dimension.
        stack: "encoder" or "decoder".
        layer: Index of the block in its stack, from 0.
    """

    name: str
    module: nn.Module
    dim: int
    stack: Literal["encoder", "decoder"]
    layer: int


def sites(model: T5ForConditionalGeneration, where: Iterable[Where] = WHERE) -> Iterator[Site]:
    """The paper's adapter positions (section 2): after self-attention and feed-forward, none after cross-attention."""
    host = {"attention": "SelfAttention.o", "feed_forward": "DenseReluDense"}
    sublayer = {
        ("encoder", "attention"): 0,
        ("encoder", "feed_forward"): 1,
        ("decoder", "attention"): 0,
        ("decoder", "feed_forward"): 2,
    }
    stacks: tuple[Literal["encoder", "decoder"], ...] = ("encoder", "decoder")
    for stack in stacks:
        for layer in range(len(model.get_submodule(f"{stack}.block"))):  # type: ignore[arg-type]
            for place in where:
                name = f"{stack}.block.{layer}.layer.{sublayer[stack, place]}.{host[place]}"
                yield Site(name, model.get_submodule(name), model.config.d_model, stack, layer)


def attach(host: nn.Module, name: str, module: nn.Module) -> None:
    """Let `module` change the output of `host`, as its submodule `name`; no base parameter's name changes."""
    if name in dict(host.named_children()):
        raise ValueError(f"{type(host).__name__} has a submodule {name!r} already: it would be applied twice")
    host.add_module(name, module)
    host.register_forward_hook(partial(_through, name))


def _through(name: str, host: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
    # By name and not by reference, so that a deep copy of the model runs its own adapters.
    return host.get_submodule(name)(output)


def width(model: T5ForConditionalGeneration) -> int:
    """The model dimension k."""
    return int(model.config.d_model)


def layer_norms(model: nn.Module) -> Iterator[nn.Module]:
    """Every layer norm, the stacks' final ones included."""
    return (m for m in model.modules() if isinstance(m, T5LayerNorm))


def is_layer_norm(name: str) -> bool:
    """Does the parameter `name` belong to a layer norm?"""
    return "layer_norm" in name


def fingerprint(model: T5ForConditionalGeneration) -> dict[str, Any]:
    """What tells one backbone from another: its shape, and a digest of the head of every pretrained tensor."""
    config: PretrainedConfig = model.config
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.flatten()[:1024].float().cpu().numpy().tobytes())
    return {field: getattr(config, field) for field in SHAPE} | {"weights": digest.hexdigest()[:16]}
