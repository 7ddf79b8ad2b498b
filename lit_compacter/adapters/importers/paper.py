"""Models that the paper's own code has written: pytorch_model.bin, from which method and options are inferred."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import T5ForConditionalGeneration

from lit_compacter.adapters.importers.names import LOW_RANK, PHM, PLAIN
from lit_compacter.backbones.t5 import d_model, is_layer_norm, num_blocks
from lit_compacter.errors import UserError
from lit_compacter.methods import Adapter, BitFit, Compacter, LowRankAdapter, Method, PromptTuning
from lit_compacter.methods.compacter import SHARED_RULE

KEY = re.compile(
    r"(?P<block>(?P<stack>encoder|decoder)\.block\.(?P<layer>\d+))\.layer\.(?P<sublayer>\d)\."
    r"adapter_controller\.adapters\.[^.]+\.(?P<linear>down|up)_sampler\.(?P<tensor>\w+)"
)
PROMPT = {"prefix_shared": "encoder.prompt"}
NUM_COMPARED = 100  # rows of the embedding


def infer_method(tensors: Mapping[str, Tensor], model: T5ForConditionalGeneration, where: str) -> Method:
    """The method and options that give tensors of these names and shapes.

    Args:
        tensors: The state dict of the paper's model.
        model: The stock model.
        where: The file, for messages.

    Raises:
        UserError: It is a fully fine-tuned model, or of another method.
    """
    found = [match for match in map(KEY.fullmatch, tensors) if match]
    if "prefix_shared" in tensors:
        return PromptTuning(length=len(tensors["prefix_shared"]))
    if not found and any(name.endswith("SelfAttention.q.bias") for name in tensors):
        return BitFit()
    if not found:
        raise UserError(f"{where} holds no adapter, biases or prompt: it is a fully fine-tuned model, or another one")
    first = found[0]
    prefix = first[0].removesuffix(first["tensor"])
    kinds = {match["tensor"] for match in found}
    down = tensors[prefix.replace("up_sampler", "down_sampler") + ("b" if "b" in kinds else "bias")]
    layers = tuple(sorted({int(match["layer"]) for match in found}))
    last = {"encoder": "1", "decoder": "2"}
    sublayers = {"self_attention": any(match["sublayer"] == "0" for match in found)}
    sublayers["feed_forward"] = any(match["sublayer"] == last[match["stack"]] for match in found)
    options: dict[str, Any] = {
        "reduction_factor": d_model(model) // len(down),
        "sublayers": tuple(name for name, is_there in sublayers.items() if is_there),
        "layers": None if layers == tuple(range(num_blocks(model, "encoder"))) else layers,
    }
    if "weight" in kinds:
        return Adapter(**options)
    factor = tensors[prefix + ("W_left" if "W_left" in kinds else "W")]
    if factor.dim() == 2:
        return LowRankAdapter(**options, rank=factor.shape[1])
    return Compacter(
        **options,
        phm_dim=len(factor),
        phm_rank=factor.shape[2] if "W_left" in kinds else None,
        shared_phm_rule=any(name.startswith(SHARED_RULE) for name in tensors),
        factorized_phm_rule=any(name.endswith("phm_rule_left") for name in tensors),
    )


def convert_paper_tensors(
    tensors: Mapping[str, Tensor], method: Method, model: T5ForConditionalGeneration, where: str
) -> dict[str, Tensor]:
    """The tensors of the method under our names, without the backbone's.

    Raises:
        UserError: The backbone in the file is another one than the model.
    """
    embedding = model.get_input_embeddings().weight.detach()[:NUM_COMPARED].cpu().float()
    theirs = tensors.get("shared.weight", embedding)[:NUM_COMPARED].float()
    if theirs.shape != embedding.shape or not torch.allclose(theirs, embedding, atol=1e-2):
        raise UserError(f"{where} was trained on another model than this one")
    shared = isinstance(method, Compacter) and method.shared_phm_rule
    state = {}
    for name, tensor in tensors.items():
        ours = paper_name(name, method)
        if shared and ".phm_rule" in ours:  # each layer repeats the shared rule
            continue
        if ours != name or is_kept(name, method):
            state[ours] = tensor
    return state


def paper_name(theirs: str, method: Method) -> str:
    """`….layer.0.adapter_controller.adapters.t.down_sampler.b` → `….layer.0.SelfAttention.o.adapter.down.bias`."""
    match = KEY.fullmatch(theirs)
    if not match:
        return PROMPT.get(theirs, theirs)
    host = "SelfAttention.o" if match["sublayer"] == "0" else "DenseReluDense"
    names = PHM if isinstance(method, Compacter) else LOW_RANK if isinstance(method, LowRankAdapter) else PLAIN
    place = f"{match['block']}.layer.{match['sublayer']}.{host}.{Adapter.NAME}"
    return f"{place}.{match['linear']}.{names[match['tensor']]}"


def is_kept(name: str, method: Method) -> bool:
    """Whether a tensor that has the same name in both belongs to the method."""
    if isinstance(method, BitFit):
        return name.endswith(".bias")
    return isinstance(method, Adapter) and (is_layer_norm(name) or name.startswith(SHARED_RULE))
