"""Greedily decoded answers."""

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, T5ForConditionalGeneration
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from lit_compacter.backbones.loading import greedy_config


@torch.no_grad()
def generate_texts(
    model: T5ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    input_ids: Tensor,
    attention_mask: Tensor,
    max_new_tokens: int,
    synced_gpus: bool = False,
) -> list[str]:
    """Decode greedily.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        input_ids: Inputs, (B, S).
        attention_mask: 0 where padded, (B, S).
        max_new_tokens: The longest answer.
        synced_gpus: Whether all processes must decode the same number of tokens, as a sharded model needs.

    Returns:
        B texts.
    """
    ids = model.generate(
        input_ids=input_ids,
        attention_mask=attention_mask,
        generation_config=greedy_config(model, max_new_tokens=max_new_tokens),
        past_key_values=EncoderDecoderCache(DynamicCache(), DynamicCache()),  # the default has the encoder's depth
        synced_gpus=synced_gpus,
    )
    return tokenizer.batch_decode(ids, skip_special_tokens=True)  # type: ignore[no-any-return]
