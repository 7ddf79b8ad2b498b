"""A fused model against the stock one."""

import copy

import pytest
import torch
from torch import nn
from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.fused import fuse
from lit_compacter.backbones.generation import generate_texts
from lit_compacter.backbones.loading import load_backbone
from lit_compacter.backbones.tokenizer import load_tokenizer
from lit_compacter.layers import Dropout, RMSNorm
from tests.conftest import TINY, shared
from tests.models import MODELS, small_t5

INPUTS = torch.tensor([[5, 6, 7, 8, 9, 1], [4, 3, 1, 0, 0, 0]])
BATCH = {"input_ids": INPUTS, "attention_mask": (INPUTS != 0).long(), "labels": torch.tensor([[3, 4, 1], [7, 1, -100]])}


def fused(model: T5ForConditionalGeneration) -> T5ForConditionalGeneration:
    model = copy.deepcopy(model)
    fuse(model)
    return model


@pytest.mark.parametrize("kind", MODELS)
def test_logits_and_gradients_are_the_stock_models(kind: str) -> None:
    stock = small_t5(kind).eval()
    fast = fused(stock)
    assert fast.state_dict().keys() == stock.state_dict().keys()
    outputs = stock(**BATCH), fast(**BATCH)
    expected, logits = (output.logits for output in outputs)
    assert (logits - expected).abs().max() <= 1e-6 * expected.abs().max()
    for output in outputs:
        output.loss.backward()
    for old, new in zip(stock.parameters(), fast.parameters(), strict=True):
        assert old.grad is not None and new.grad is not None
        assert (new.grad - old.grad).abs().max() <= 1e-5 * old.grad.abs().max()


@pytest.mark.parametrize("kind", MODELS)
def test_every_norm_and_dropout_is_replaced(kind: str) -> None:
    modules = list(fused(small_t5(kind)).modules())
    assert any(isinstance(module, RMSNorm) for module in modules)
    assert not [module for module in modules if type(module).__name__.endswith("LayerNorm")]
    assert all(isinstance(module, Dropout) for module in modules if isinstance(module, nn.Dropout))


def test_training_drops_out() -> None:
    model = fused(small_t5()).train()
    torch.manual_seed(0)
    first, second = model(**BATCH).loss, model(**BATCH).loss
    torch.manual_seed(0)
    assert torch.equal(model(**BATCH).loss, first) and not torch.equal(first, second)


@pytest.mark.parametrize("folder", [TINY, "t5-mini"])
def test_generated_texts_are_the_stock_models(folder: object) -> None:
    path = str(folder if folder == TINY else shared(str(folder)))
    stock, tokenizer = load_backbone(path).eval(), load_tokenizer(path)
    inputs = tokenizer(["sentence1: the cat is on the mat", "a"], return_tensors="pt", padding=True)
    texts = [
        generate_texts(model, tokenizer, inputs.input_ids, inputs.attention_mask, 20) for model in (stock, fused(stock))
    ]
    assert texts[0] == texts[1]
