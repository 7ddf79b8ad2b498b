"""Methods of the PEFT library beyond the shipped ones: whatever `inject_adapter_in_model` takes is trained and kept."""

from typing import Any

import pytest
import torch

from lit_compacter.checkpoints.format import names_to_save, tensors
from lit_compacter.errors import UserError
from lit_compacter.methods import Peft
from tests.models import batch, small_t5

pytest.importorskip("peft", reason="the optional library peft is not installed")

QV = {"target_modules": ["q", "v"]}
CONFIGS: dict[str, dict[str, Any]] = {
    "LORA": QV | {"r": 4, "use_dora": True},
    "LOHA": QV,
    "LOKR": QV,
    "OFT": QV | {"r": 4, "oft_block_size": 0},
    "HRA": QV,
    "LN_TUNING": {"target_modules": ["layer_norm"]},
    "FOURIERFT": QV | {"n_frequency": 10},
    "RANDLORA": QV | {"r": 4},  # its random bases are buffers: saved with it
    "TRAINABLE_TOKENS": {"token_indices": [1, 2], "target_modules": ["shared"]},
}


def changed(kind: str, seed: int) -> tuple[torch.nn.Module, set[str]]:
    model = small_t5("v1.0", dropout_rate=0.0)
    base = tensors(model)
    torch.manual_seed(seed)
    Peft({"peft_type": kind} | CONFIGS[kind]).apply(model)
    return model.train(), names_to_save(model, base)


@pytest.mark.parametrize("kind", CONFIGS)
def test_what_is_saved_is_all_it_takes(kind: str) -> None:
    model, saved = changed(kind, seed=1)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    for _ in range(2):
        optimizer.zero_grad()
        model(**batch()).loss.backward()
        optimizer.step()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    again, _ = changed(kind, seed=2)
    state = {name: tensor for name, tensor in model.state_dict().items() if name in saved}
    with torch.no_grad():
        expected = model.eval()(**batch()).logits
        assert not torch.equal(again.eval()(**batch()).logits, expected)
        again.load_state_dict(state, strict=False)
        assert torch.equal(again(**batch()).logits, expected)


@pytest.mark.parametrize("option", ["megatron_config", "megatron_core"])
def test_nothing_is_imported_that_a_checkpoint_names(option: str) -> None:
    with pytest.raises(UserError, match=f"model.method.config.{option} names a module to import"):
        Peft({"peft_type": "LORA", "target_modules": ["q"], option: "antigravity"}).apply(small_t5("v1.0"))


def test_a_type_that_is_no_name() -> None:
    with pytest.raises(UserError, match=r"peft_type is \['LORA'\]; expected one of"):
        Peft({"peft_type": ["LORA"]}).apply(small_t5("v1.0"))


def test_what_cannot_be_injected_is_refused() -> None:
    with pytest.raises(UserError, match=r"model.method.config: .*does not support"):
        Peft({"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 4}).apply(small_t5("v1.0"))
