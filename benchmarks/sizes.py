"""Sizes of T5 models with random weights. Peers' environments import it too: nothing but transformers is needed."""

from typing import Any

from transformers import T5Config

T5_BASE = {"vocab_size": 32_128, "d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12}
SIZES: dict[str, dict[str, int]] = {
    "tiny": {"vocab_size": 4096, "d_model": 128, "d_kv": 32, "d_ff": 256, "num_layers": 2, "num_heads": 4},  # for tests
    "small": T5_BASE | {"d_model": 512, "d_ff": 2048, "num_layers": 6, "num_heads": 8},
    "base": T5_BASE,
    "large": T5_BASE | {"d_model": 1024, "d_ff": 4096, "num_layers": 24, "num_heads": 16},
}


def t5_config(size: str) -> Any:
    """The config of T5 v1.0 of a size."""
    return T5Config(**SIZES[size], decoder_start_token_id=0)
