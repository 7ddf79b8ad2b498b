"""Answers of a model: greedily decoded, or the likeliest of a few."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
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


@torch.no_grad()
def rank_texts(
    model: T5ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    input_ids: Tensor,
    attention_mask: Tensor,
    answers: Sequence[str],
) -> list[str]:
    """The likeliest of the L `answers` for each of the B inputs: argmax_y Σ_t log p(y_t | y_<t, x).

    The other arguments are those of `generate_texts`.
    """
    losses = []
    source: dict[str, Any] = {"input_ids": input_ids}
    for answer in answers:  # one after another, so that memory does not grow with their number
        labels = tokenizer(answer, return_tensors="pt").input_ids.to(input_ids.device).expand(len(input_ids), -1)
        decoder_input_ids = model.prepare_decoder_input_ids_from_labels(labels)  # (B, T)
        inputs = {"attention_mask": attention_mask, "decoder_input_ids": decoder_input_ids, "use_cache": False}
        output = model(**source, **inputs)
        source = {"encoder_outputs": (output.encoder_last_hidden_state,)}  # (B, S, d)
        logits = output.logits.float()  # (B, T, V)
        losses.append(F.cross_entropy(logits.transpose(1, 2), labels, reduction="none").sum(1))
    return [answers[index] for index in torch.stack(losses).argmin(0).tolist()]
