"""Small models of every supported type, and T5-base without its weights."""

from typing import Any

import torch
from transformers import (
    AutoModelForSeq2SeqLM,
    LongT5Config,
    MT5Config,
    PretrainedConfig,
    T5Config,
    T5ForConditionalGeneration,
    UMT5Config,
)

from benchmarks.sizes import T5_BASE
from lit_compacter.backbones.t5 import untie

SIZES = {"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
# Name → config class and what makes it that model.
MODELS: dict[str, tuple[type[PretrainedConfig], dict[str, Any]]] = {
    "v1.0": (T5Config, {"feed_forward_proj": "relu"}),
    "v1.1": (T5Config, {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "mt5": (MT5Config, {"tie_word_embeddings": False}),
    "umt5": (UMT5Config, {"tie_word_embeddings": False}),
    "byt5": (T5Config, {"vocab_size": 384, "feed_forward_proj": "gated-gelu", "num_decoder_layers": 1}),
    "longt5-local": (LongT5Config, {"encoder_attention_type": "local", "local_radius": 3}),
    "longt5-global": (
        LongT5Config,
        {"encoder_attention_type": "transient-global", "local_radius": 3, "global_block_size": 4},
    ),
}
UNTIED = {"v1.1", "mt5", "umt5"}
VERSIONS = {name: MODELS[name][1] for name in ("v1.0", "v1.1")}


def small_t5(version: str = "v1.0", **changes: object) -> T5ForConditionalGeneration:
    """Two blocks of width 32, in evaluation mode."""
    torch.manual_seed(0)
    kind, options = MODELS[version]
    config = kind(**SIZES | {"decoder_start_token_id": 0, "pad_token_id": 0} | options | changes)
    model = AutoModelForSeq2SeqLM.from_config(config).eval()
    if version in UNTIED:  # as their files are; transformers builds new ones tied, whatever the config says
        untie(model)
    return model


def t5_base(vocab_size: int = 32_128) -> T5ForConditionalGeneration:
    """T5-base's architecture on the meta device: shapes without memory."""
    sizes = T5_BASE | {"vocab_size": vocab_size}
    with torch.device("meta"):
        return T5ForConditionalGeneration(T5Config(**sizes, decoder_start_token_id=0))


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input_ids": torch.randint(2, 64, (3, 7), generator=generator),
        "attention_mask": torch.ones(3, 7, dtype=torch.long),
        "labels": torch.randint(2, 64, (3, 4), generator=generator),
    }
