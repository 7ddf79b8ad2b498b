"""From a stock T5 and a method to the model that is trained."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.files import model_commit
from lit_compacter.backbones.fused import fuse
from lit_compacter.backbones.loading import fingerprint, load_backbone
from lit_compacter.backbones.options import BackboneOptions
from lit_compacter.backbones.quantization import check_installed, quantize_linears
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
    """

    model: T5ForConditionalGeneration
    saved_names: set[str]
    backbone: dict[str, Any]
    commit: str | None


def build_model(method: Method, options: BackboneOptions) -> FineTunedModel:
    """Load a stock T5, make it faster, and apply the method. New parameters follow torch's global seed.

    Raises:
        UserError: Nothing can be loaded, or the method does not fit the model or its quantization.
    """
    if options.computes_in_bfloat16 and torch.get_default_dtype() == torch.float64:
        raise UserError("a backbone in bfloat16, 8 or 4 bits computes in bfloat16; remove --trainer.precision 64-true")
    with torch.device("cpu"):  # the device may lack memory for weights that are not yet quantized or rounded
        model = load_backbone(options.model_name, options.pretrained, options.revision)
        backbone = {"pretrained": options.pretrained} | fingerprint(model)  # of the weights before quantization
        fuse(model)
        model.to(torch.get_default_dtype())  # float64 with 64-true; must precede the restoring of a checkpoint
        if options.quantization is not None:
            quantize_linears(model, options.quantization)
        base = tensors(model)
        method.apply(model)
        names = names_to_save(model, base)
        if options.computes_in_bfloat16:
            hold_frozen_weights_in(torch.bfloat16, model)
    model.train()  # from_pretrained returns it in eval mode, without dropout
    if options.gradient_checkpointing:
        # transformers renames the method within 5.x
        getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    return FineTunedModel(model, names, backbone, model_commit(options.model_name, options.revision))


def check_quantization(method: Method, quantization: Quantization) -> None:
    """Refuse quantization before the weights are loaded.

    Raises:
        UserError: Its library is not installed, or the method does not fit it.
    """
    check_installed()
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
            weight.data = weight.data.to(dtype)
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.register_forward_hook(_in_float32, prepend=True)


def _in_float32(embedding: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
    return output.float()
