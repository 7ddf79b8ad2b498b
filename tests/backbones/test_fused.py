"""A fused model against the stock one."""

import copy

import pytest
import torch
from torch import Tensor, nn
from transformers import T5ForConditionalGeneration

from lit_compacter.backbones import fused as fused_module
from lit_compacter.backbones.fused import fuse
from lit_compacter.backbones.generation import generate_texts
from lit_compacter.backbones.loading import load_backbone
from lit_compacter.backbones.tokenizer import load_tokenizer
from lit_compacter.layers import Dropout, ReLUDropout, RMSNorm
from lit_compacter.layers.attention import attention_weights
from lit_compacter.layers.dropout import dropout_mask
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
    with torch.no_grad():  # which has a kernel of its own
        assert (fast(**BATCH).logits - expected).abs().max() <= 1e-6 * expected.abs().max()
    for output in outputs:
        output.loss.backward()
    for old, new in zip(stock.parameters(), fast.parameters(), strict=True):
        assert old.grad is not None and new.grad is not None
        assert (new.grad - old.grad).abs().max() <= 1e-5 * old.grad.abs().max()


def gradients(model: T5ForConditionalGeneration, dtype: torch.dtype) -> dict[str, Tensor]:
    """Of one training step, with dropout, under autocast to `dtype`."""
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        model.train()(**BATCH).loss.backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert len(found) == len(list(model.parameters()))
    return found


def plain_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    weights = attention_weights(q, k, bias, mask)
    return (weights * dropout_mask(weights, dropout) / (1 - dropout)).to(v.dtype) @ v


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.1)])
@pytest.mark.parametrize("kind", MODELS)
def test_gradients_with_dropout(
    kind: str, dtype: torch.dtype, tolerance: float, checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = small_t5(kind, dropout_rate=0.3)
    fast = fused(stock)
    if checkpointing:
        fast.gradient_checkpointing_enable()
    found = gradients(fast, dtype)
    monkeypatch.setattr(fused_module, "biased_attention", plain_attention)
    monkeypatch.setattr(fused_module, "merge_relu_and_dropout", lambda *_: None)
    for name, expected in gradients(fused(stock), dtype).items():
        assert float((found[name] - expected).norm()) <= tolerance * float(expected.norm()), name


@pytest.mark.parametrize("kind", MODELS)
def test_relu_is_merged_with_its_dropout(kind: str) -> None:
    model = fused(small_t5(kind))
    merged = [module for module in model.modules() if isinstance(module, ReLUDropout)]
    has_gate = model.config.is_gated_act
    assert len(merged) == (0 if has_gate else model.config.num_layers + model.config.num_decoder_layers)


@pytest.mark.parametrize("kind", MODELS)
def test_every_norm_and_dropout_is_replaced(kind: str) -> None:
    modules = list(fused(small_t5(kind)).modules())
    assert any(isinstance(module, RMSNorm) for module in modules)
    assert not [module for module in modules if type(module).__name__.endswith("LayerNorm")]
    assert all(isinstance(module, Dropout | ReLUDropout) for module in modules if isinstance(module, nn.Dropout))


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
