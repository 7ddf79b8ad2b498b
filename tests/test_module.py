"""The model as a module: what it answers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from lit_compacter.methods import LayerNorms
from lit_compacter.module import T5Module
from tests.conftest import TINY
from tests.models import small_t5


@pytest.mark.parametrize(("encoder", "decoder"), [(2, 2), (3, 1), (1, 3)])
def test_answers_are_greedy(encoder: int, decoder: int, tmp_path: Path) -> None:
    """Step by step the likeliest token, whatever the depths and whatever else the model was published to do."""
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    model = small_t5(num_layers=encoder, num_decoder_layers=decoder, vocab_size=len(tokenizer))
    model.generation_config.update(min_length=9, no_repeat_ngram_size=1, num_beams=4)
    model.save_pretrained(tmp_path)
    module = T5Module(LayerNorms(), model_name=str(tmp_path))
    module.configure_model()
    module.tokenizer, module.max_target_length = tokenizer, 6
    module.eval()
    batch: Any = dict(tokenizer(["What is a plum?", "tea"], padding=True, return_tensors="pt"))
    ids = torch.zeros(2, 1, dtype=torch.long)
    with torch.no_grad():
        for _ in range(6):
            likeliest = model(**batch, decoder_input_ids=ids, use_cache=False).logits[:, -1].argmax(-1)
            ids = torch.cat([ids, likeliest[:, None]], dim=1)
    assert 1 not in ids, "none ends early"
    assert module.generate(batch) == tokenizer.batch_decode(ids, skip_special_tokens=True)
