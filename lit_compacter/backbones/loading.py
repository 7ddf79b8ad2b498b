"""Load the pretrained model that a run starts from, and compute its fingerprint."""

import hashlib
import math
import operator
import pickle
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from transformers import (
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForSeq2SeqLM,
    GenerationConfig,
    PretrainedConfig,
    T5ForConditionalGeneration,
)

from lit_compacter.backbones.files import model_folder
from lit_compacter.backbones.t5 import untie
from lit_compacter.errors import UserError, first_line
from lit_compacter.hub.repository import damaged_cache_advice

# Values of a config's model_type → what they are.
SUPPORTED = {"t5": "T5 v1.0, v1.1, Flan-T5, ByT5", "mt5": "mT5", "umt5": "UMT5", "longt5": "LongT5"}
SIZES = ["vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads"]
SHAPE = [*SIZES, "feed_forward_proj"]
NUM_VALUES = 16  # tokens whose embedding's first value is kept
NUM_DIGESTED = 1024  # values of each tensor
ROUNDING = 2**-7  # of bfloat16
TOKENS = ["pad_token_id", "eos_token_id", "decoder_start_token_id"]

Rows: TypeAlias = Callable[[Tensor, slice], Tensor]


def load_backbone(name: str, pretrained: bool = True, revision: str | None = None) -> T5ForConditionalGeneration:
    """Load a stock T5 in float32 from the hub or a local folder, set up for greedy decoding.

    The settings in its generation_config.json are ignored, because they would change the scores.

    Args:
        name: Hub name or folder.
        pretrained: False gives random weights of the same architecture, drawn from torch's global generator.
        revision: Branch, tag or commit on the hub. Default: the main branch.

    Raises:
        UserError: Nothing can be loaded from `name`, it is not a T5, or its weights do not fit its config.
    """
    config = load_config(name, revision)
    if not pretrained:
        return random_backbone(config)
    return read_backbone(name, model_folder(name, revision, weights=True), config)


def read_backbone(
    name: str, folder: Path, config: PretrainedConfig, tensors: Mapping[str, Tensor] | None = None
) -> T5ForConditionalGeneration:
    """Build the T5 of a folder in float32, set up for greedy decoding.

    Args:
        name: The model's name, for messages.
        folder: The folder.
        config: Its config.
        tensors: What its parameters become, instead of what the files of weights hold.

    Raises:
        UserError: The weights cannot be read, or do not fit the config.
    """
    try:
        model, found = MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING[type(config)].from_pretrained(
            folder if tensors is None else None,
            state_dict=tensors,
            config=config,
            dtype=torch.float32,  # required for training, whatever the precision of the file
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except pickle.UnpicklingError as error:
        raise UserError(
            f"the weights of the model {name!r} are a pickle of more than tensors, which could run code, so it is not "
            "loaded; use a model with model.safetensors"
        ) from error
    except Exception as error:  # transformers' readers raise many types
        raise cannot_load("", name, folder, error) from error
    _check_weights(name, found)
    return _greedy(model)


def load_config(name: str, revision: str | None = None) -> PretrainedConfig:
    """The config of a T5 on the hub or in a local folder.

    Raises:
        UserError: There is no config at `name`, it is not for a T5, or a field is not valid.
    """
    folder = model_folder(name, revision)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)  # otherwise transformers prompts the user
    except Exception as error:  # transformers' readers raise many types
        raise cannot_load("", name, folder, error) from error
    if config.model_type not in SUPPORTED:
        expected = ", ".join(f"{kind} ({names})" for kind, names in SUPPORTED.items())
        raise UserError(f"{name} is a {config.model_type!r} model; supported model types: {expected}")
    _check_config(name, config)
    return config


def load_skeleton(name: str, revision: str | None = None) -> T5ForConditionalGeneration:
    """Build the model on the meta device, without memory for its weights, to check options against it."""
    return build_skeleton(load_config(name, revision))


def build_skeleton(config: PretrainedConfig) -> T5ForConditionalGeneration:
    """Build a model of a config on the meta device."""
    with torch.device("meta"):
        return AutoModelForSeq2SeqLM.from_config(config)


def cannot_load(part: str, name: str, folder: Path, error: BaseException) -> UserError:
    """The error for a model that another library cannot read.

    Args:
        part: The part that cannot be read, such as "the tokenizer of "; empty for the model itself.
        name: Hub name or folder.
        folder: The folder that it was read from.
        error: The library's exception.
    """
    advice = (
        "expected a folder with config.json, model.safetensors and the tokenizer's files, as they were published"
        if Path(name).is_dir()
        else damaged_cache_advice(folder)
    )
    return UserError(f"cannot load {part}the model {name!r}: {first_line(error)}; {advice}")


def _check_config(name: str, config: PretrainedConfig) -> None:
    def check(field: str, fits: Callable[[Any], bool], expected: str) -> None:
        if not fits(value := getattr(config, field, None)):
            raise UserError(f"config.json of the model {name!r} has {field} {value}; expected {expected}")

    check("is_encoder_decoder", bool, "true")
    for size in SIZES:
        check(size, lambda value: isinstance(value, int) and value >= 1, "1 or more")
    for token in TOKENS:
        check(token, lambda value: value in range(config.vocab_size), f"a token's number, below {config.vocab_size}")


def greedy_config(model: T5ForConditionalGeneration, **options: Any) -> GenerationConfig:
    """Greedy decoding, whatever the model's own generation_config says."""
    tokens = {token: getattr(model.config, token) for token in TOKENS}
    return GenerationConfig(**tokens, do_sample=False, num_beams=1, **options)


def _greedy(model: T5ForConditionalGeneration) -> T5ForConditionalGeneration:
    model.generation_config = greedy_config(model)
    return model


def _check_weights(name: str, found: dict[str, Any]) -> None:
    """Refuse a model with missing weights. transformers would only warn and initialize them randomly."""
    if lacking := sorted({*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])}):
        raise UserError(
            f"the weights of the model {name!r} do not fit its config.json: {lacking[0]} is absent or of another shape "
            f"({len(lacking)} such in all); use a model whose weights and config are as published"
        )
    if unused := sorted(found["unexpected_keys"]):
        warnings.warn(
            f"the model {name!r} has weights that its config.json does not use: {unused[0]} ({len(unused)} in all)",
            stacklevel=4,
        )


def random_backbone(config: PretrainedConfig, device: str = "cpu") -> T5ForConditionalGeneration:
    """A T5 in float32 with weights drawn from torch's global generator, set up for greedy decoding.

    On the meta device it has no weights.
    """
    with torch.device(device):  # of the CPU: the same weights whatever the training device
        model = AutoModelForSeq2SeqLM.from_config(config, dtype=torch.float32)  # the config may name a file's
        # v1.1, mT5 and UMT5 have an untied output layer, but their configs may not say so, and a new model ties it.
        if config.model_type in ("mt5", "umt5") or not getattr(config, "scale_decoder_outputs", True):
            untie(model)
    return _greedy(model)


def fingerprint(model: T5ForConditionalGeneration, rows: Rows = operator.getitem) -> dict[str, Any]:
    """Identify a backbone by its shape, a digest of the first values of every tensor, and values of its embedding.

    The digest is of one precision. The values can be compared in any, because quantization leaves embeddings alone.

    Args:
        model: The model.
        rows: Reads some rows of one of its tensors.
    """
    config: PretrainedConfig = model.config
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict(keep_vars=True).items()):
        digest.update(name.encode())
        first = rows(tensor, first_rows(tensor)).detach().flatten()[:NUM_DIGESTED]
        digest.update(first.float().cpu().numpy().tobytes())
    embeddings = model.get_input_embeddings().weight
    values = rows(embeddings, first_rows(embeddings)).detach()[:NUM_VALUES, 0].float().tolist()
    identity = {"dtype": str(model.dtype), "weights": digest.hexdigest()[:16], "values": values}
    return {field: getattr(config, field) for field in SHAPE} | identity


def first_rows(tensor: Tensor) -> slice:
    """The rows of a tensor that its model's fingerprint reads, or more."""
    return slice(0, min(len(tensor), max(NUM_VALUES, -(-NUM_DIGESTED // math.prod(tensor.shape[1:])))))


def check_same_backbone(saved: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Check that a model is the one that an adapter was trained on, in any precision.

    Args:
        saved: The fingerprint of that model.
        current: The fingerprint of the model.

    Raises:
        UserError: It is another model.
    """
    if wrong := [name for name in SHAPE if saved[name] != current[name]]:
        was, now = (", ".join(f"{name}={side[name]}" for name in wrong) for side in (saved, current))
        raise UserError(f"the adapter was trained on a model with {was}; this model has {now}")
    if saved["dtype"] == current["dtype"]:
        is_same = saved["weights"] == current["weights"]
    else:
        is_same = np.allclose(saved["values"], current["values"], rtol=ROUNDING, atol=ROUNDING)
    if not is_same:
        raise UserError("the adapter was trained on a model of the same shape with other weights")
