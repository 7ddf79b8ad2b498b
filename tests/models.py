"""Small T5s for tests, and T5-base without its weights."""

import torch
from transformers import T5Config, T5ForConditionalGeneration

VERSIONS = {"v1.0": {"feed_forward_proj": "relu"}, "v1.1": {"feed_forward_proj": "gated-gelu"}}


def small_t5(version: str = "v1.0", **changes: object) -> T5ForConditionalGeneration:
    """Two blocks of width 32."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    config = T5Config(**sizes | VERSIONS[version] | {"decoder_start_token_id": 0} | changes)
    return T5ForConditionalGeneration(config).eval()


def t5_base() -> T5ForConditionalGeneration:
    """T5-base's architecture on the meta device: shapes without memory."""
    sizes = {"vocab_size": 32128, "d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12}
    with torch.device("meta"):
        return T5ForConditionalGeneration(T5Config(**sizes, decoder_start_token_id=0))


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "input_ids": torch.randint(2, 64, (3, 7), generator=generator),
        "attention_mask": torch.ones(3, 7, dtype=torch.long),
        "labels": torch.randint(2, 64, (3, 4), generator=generator),
    }
