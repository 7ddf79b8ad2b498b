"""Shapes of the T5 models that are published, for planning where not even a config.json is at hand."""

from typing import Any, TypeAlias

from huggingface_hub import try_to_load_from_cache
from transformers import PretrainedConfig, T5Config

VOCAB_SIZE = 32_128
FIELDS = ("d_model", "d_kv", "d_ff", "num_layers", "num_heads")
Shapes: TypeAlias = dict[str, tuple[int, ...]]
V1_0: Shapes = {
    "small": (512, 64, 2048, 6, 8),
    "base": (768, 64, 3072, 12, 12),
    "large": (1024, 64, 4096, 24, 16),
    "3b": (1024, 128, 16_384, 24, 32),
    "11b": (1024, 128, 65_536, 24, 128),
}
V1_1: Shapes = {  # also of Flan-T5
    "small": (512, 64, 1024, 8, 6),
    "base": (768, 64, 2048, 12, 12),
    "large": (1024, 64, 2816, 24, 16),
    "xl": (2048, 64, 5120, 24, 32),
    "xxl": (4096, 64, 10_240, 24, 64),
}
GATED: dict[str, Any] = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
FAMILIES: tuple[tuple[str, Shapes, dict[str, Any]], ...] = (
    ("t5-", V1_0, {}),
    ("google-t5/t5-", V1_0, {}),
    ("google/t5-v1_1-", V1_1, GATED),
    ("google/flan-t5-", V1_1, GATED),
)


def published_config(name: str) -> PretrainedConfig | None:
    """The config of a published model by its name on the hub, from the table above; None for another name.

    The files on the hub have the same shapes. The vocabulary has 32,128 entries in all of them.
    """
    for prefix, sizes, options in FAMILIES:
        if name.startswith(prefix) and (shape := sizes.get(name.removeprefix(prefix))):
            fields = dict(zip(FIELDS, shape, strict=True)) | {"vocab_size": VOCAB_SIZE}
            return T5Config(**fields, **options, decoder_start_token_id=0)
    return None


def is_cached(name: str, revision: str | None) -> bool:
    """Whether the cache of the hub holds the model's config.json."""
    return isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str)
