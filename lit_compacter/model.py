"""From a stock T5 and a method to the model that is trained."""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.drawing import RandomWeights
from lit_compacter.backbones.files import model_commit, model_folder
from lit_compacter.backbones.fused import fuse
from lit_compacter.backbones.loading import fingerprint, load_backbone, load_config
from lit_compacter.backbones.options import BackboneOptions
from lit_compacter.backbones.placeholders import cast
from lit_compacter.backbones.quantization import check_installed, quantize_linears
from lit_compacter.backbones.weights import Part, Weights, open_files
from lit_compacter.checkpoints.format import names_to_save, tensors
from lit_compacter.errors import UserError
from lit_compacter.layers.quantized import Quantization
from lit_compacter.methods import Method


@dataclass
class FineTunedModel:
    """A model to which a method has been applied.

    Attributes:
        model: The model, in training mode. `requires_grad` marks what is trained.
        saved_names: Names of the tensors that a checkpoint holds.
        backbone: Identity of the stock model, for checkpoints.
        commit: The stock model's commit on the hub; None for a folder.
        weights: Where the values of the frozen parameters come from, which are placeholders; None if the model holds
            them.
    """

    model: T5ForConditionalGeneration
    saved_names: set[str]
    backbone: dict[str, Any]
    commit: str | None
    weights: Weights | None


def build_model(method: Method, options: BackboneOptions, part: Part | None = None) -> FineTunedModel:
    """Load a stock T5, make it faster, and apply the method. New parameters follow torch's global seed.

    Args:
        method: The method.
        options: Which T5, and how it is held.
        part: The part of the frozen weights that this process will hold. They are not loaded here, where the method and
            the files allow. Default: all of them.

    Raises:
        UserError: Nothing can be loaded, or the method does not fit the model or its quantization.
    """
    if options.computes_in_bfloat16 and torch.get_default_dtype() == torch.float64:
        raise UserError("a backbone in bfloat16, 8 or 4 bits computes in bfloat16; remove --trainer.precision 64-true")
    with torch.device("cpu"):  # the device may lack memory for weights that are not yet quantized or rounded
        weights = open_weights(method, options, part) if part else None
        model = weights.model if weights else load_backbone(options.model_name, options.pretrained, options.revision)
        identity = fingerprint(model, weights.rows) if weights else fingerprint(model)  # before quantization
        names = fine_tune(model, method, options, weights=weights)
    commit = model_commit(options.model_name, options.revision)
    return FineTunedModel(model, names, {"pretrained": options.pretrained} | identity, commit, weights)


def fine_tune(
    model: T5ForConditionalGeneration,
    method: Method,
    options: BackboneOptions,
    quantize: Callable[[T5ForConditionalGeneration, Quantization], None] = quantize_linears,
    weights: Weights | None = None,
) -> set[str]:
    """Make a stock T5 faster, apply the method, and hold the frozen weights as the options say, all in place.

    Args:
        model: A stock T5.
        method: The method.
        options: How the frozen part is held.
        quantize: Quantizes the linear layers of the blocks.
        weights: Where the values of the model's parameters come from if they are placeholders. Those that the method
            trains are read.

    Returns:
        Names of the tensors that a checkpoint holds.
    """
    fuse(model)
    for parameter in model.parameters():
        cast(parameter, torch.get_default_dtype())  # float64 with 64-true; must precede a checkpoint's restoring
    if options.quantization is not None:
        quantize(model, options.quantization)
    base = tensors(model)
    method.apply(model)
    names = names_to_save(model, base)
    if weights:
        check_added(method, model, base)
        weights.read_trained()
    if options.computes_in_bfloat16:
        hold_frozen_weights_in(torch.bfloat16, model)
    model.train()  # from_pretrained returns it in eval mode, without dropout
    if options.gradient_checkpointing:
        checkpoint_activations(model)
    return names


def checkpoint_activations(model: T5ForConditionalGeneration) -> None:
    """Recompute the activations in the backward pass."""
    # transformers renames the method within 5.x
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()


def open_weights(method: Method, options: BackboneOptions, part: Part) -> Weights | None:
    """The backbone's weights, to be read in parts; None, with a warning, if they must be loaded whole."""
    name, revision = options.model_name, options.revision
    if method.reads_weights():
        reason = f"method {type(method).__name__} may read the backbone's weights"
    elif not options.pretrained:
        return RandomWeights(load_config(name, revision), part)
    elif weights := open_files(name, model_folder(name, revision, weights=True), load_config(name, revision)):
        return weights
    else:
        reason = f"the model {name!r} has no model.safetensors, which its save_pretrained would write"
    warnings.warn(f"{reason}, so each process first loads the whole model into host memory, in float32", stacklevel=4)
    return None


def check_added(method: Method, model: T5ForConditionalGeneration, base: Iterable[Tensor]) -> None:
    """Raise UserError if what a method has added to a model of placeholders was computed from them."""
    base_ids = {id(tensor) for tensor in base}
    if any(tensor.isnan().any() for tensor in tensors(model) if id(tensor) not in base_ids):
        raise UserError(
            f"method {type(method).__name__} reads the backbone's weights: its reads_weights() must return True for "
            "strategy sharded"
        )


def check_quantization(method: Method, quantization: Quantization) -> None:
    """Refuse quantization before the weights are loaded.

    Raises:
        UserError: Its library is not installed, or the method does not fit it.
    """
    check_installed()
    check_quantizable(method, quantization)


def check_quantizable(method: Method, quantization: Quantization) -> None:
    """Refuse a method that does not fit quantization.

    Raises:
        UserError: It does not.
    """
    if obstacle := method.obstacle_to_quantization():
        raise UserError(
            f"model.quantization {quantization} cannot be used with method {type(method).__name__}, because it "
            f"{obstacle}; use an adapter method, or remove --model.quantization"
        )


def hold_frozen_weights_in(dtype: torch.dtype, model: T5ForConditionalGeneration) -> None:
    """Convert the frozen weights of linear layers and of the token embedding, which are nearly all, in place.

    The others are small, and rounding them changes the result more. Embedded tokens are converted back, because they
    begin the sum of all blocks' outputs.
    """
    weights = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
    for weight in (*weights, model.get_input_embeddings().weight):
        if not weight.requires_grad and weight.is_floating_point():  # else it is quantized
            cast(weight, dtype)
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.register_forward_hook(_in_float32, prepend=True)


def _in_float32(embedding: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
    return output.float()
