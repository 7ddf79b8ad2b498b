"""The paper's own code, reproduced: logits, loss, gradients and 20 steps of training from recorded tensors."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import T5Config, T5ForConditionalGeneration

from lit_compacter.methods import Adapter, BitFit, Compacter, LowRankAdapter, Method, PromptTuning
from tests.conftest import ROOT

ZERO = 2e-8
SECOND_NAMES = ("prefix_emb",)  # of tensors that the paper's code registers several times

GOLDEN: dict[str, Method] = {
    "compacter": Compacter(reduction_factor=4),
    "compacter_pp": Compacter(reduction_factor=4, sublayers=("feed_forward",)),
    "phm_adapter": Compacter(reduction_factor=4, phm_rank=None, shared_phm_rule=False),
    "adapter": Adapter(reduction_factor=4),
    "pfeiffer_adapter": Adapter(reduction_factor=4, sublayers=("self_attention",)),
    "adapter_drop": Adapter(reduction_factor=4, layers=(1,)),
    "low_rank_adapter": LowRankAdapter(reduction_factor=4),
    "bitfit": BitFit(),
    "prompt_tuning": PromptTuning(length=5),
}
PHM = {"W_left": "s", "W_right": "t", "W": "weight", "b": "bias", "phm_rule": "phm_rule.weight"}
LOW_RANK = {"W_left": "left", "W_right": "right", "b": "bias"}
PLAIN = {"weight": "weight", "bias": "bias"}
WHOLE = {"prefix_shared": "encoder.prompt"}


def our_name(theirs: str, method: Method) -> str:
    """`….layer.0.adapter_controller.adapters.t.down_sampler.b` → `….layer.0.SelfAttention.o.adapter.down.bias`."""
    match = re.fullmatch(r"(.*)\.layer\.(\d)\.adapter_controller\.adapters\.t\.(down|up)_sampler\.(\w+)", theirs)
    if not match:
        return WHOLE.get(theirs, theirs)
    block, sublayer, linear, tensor = match.groups()
    host = "SelfAttention.o" if sublayer == "0" else "DenseReluDense"
    segments = PHM if isinstance(method, Compacter) else LOW_RANK if isinstance(method, LowRankAdapter) else PLAIN
    return f"{block}.layer.{sublayer}.{host}.adapter.{linear}.{segments[tensor]}"


def load(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


def renamed(tensors: dict[str, torch.Tensor], prefix: str, method: Method) -> dict[str, torch.Tensor]:
    """The tensors whose names begin with `prefix`, under our names."""
    return {our_name(k.removeprefix(prefix), method): v for k, v in tensors.items() if k.startswith(prefix)}


def close(actual: torch.Tensor, expected: torch.Tensor, relative: float) -> bool:
    """Relative to the tensor's own size: its largest entry."""
    return bool((actual - expected).abs().max() <= relative * expected.abs().max())


@pytest.mark.parametrize("name", GOLDEN)
def test_reproduces_the_papers_code(name: str) -> None:
    tensors, metadata = load(ROOT / "tests/golden" / f"{name}.safetensors")
    model = T5ForConditionalGeneration(T5Config(**json.loads(metadata["config"])))
    method = GOLDEN[name]
    method.apply(model)
    model.train()

    once = {name: tensor for name, tensor in tensors.items() if not name.endswith(SECOND_NAMES)}
    model.load_state_dict(renamed(once, "state.", method))
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert trained == {our_name(n, method) for n in json.loads(metadata["trainable"])}

    batch = {key: tensors[key] for key in ("input_ids", "attention_mask", "labels")}
    output = model(**batch)
    assert close(output.logits, tensors["logits"], 1e-5)
    assert close(output.loss, tensors["loss"][0], 1e-5)

    output.loss.backward()
    parameters = dict(model.named_parameters())
    gradients = renamed(tensors, "grad.", method)
    assert gradients.keys() == trained
    for key, expected in gradients.items():
        actual = parameters[key].grad
        assert actual is not None
        if key.endswith("k.bias"):  # shifts all scores of a query alike, so its gradient is 0 but for rounding
            assert max(actual.abs().max(), expected.abs().max()) < ZERO
        else:
            assert close(actual, expected, 1e-4), key

    model.zero_grad()
    optimizer = torch.optim.AdamW([parameters[n] for n in sorted(trained)], lr=3e-3, weight_decay=0.0)
    for step, expected in enumerate(tensors["trajectory"]):
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        assert close(loss, expected, 1e-4), f"step {step}"
