"""What every method keeps on every model: each YAML of configs/methods crossed with each supported model type.

A new method file or model type is found by itself. `make test` runs every method on one model type and every model type
with Compacter; `make soak` runs the full cross.
"""

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lit_compacter.backbones.loading import SUPPORTED
from lit_compacter.checkpoints.format import names_to_save, tensors
from lit_compacter.cli.configs import METHOD_NAMES
from lit_compacter.cli.defaults import load_method
from lit_compacter.methods import Method, Peft
from tests.models import MODELS, UNTIED, batch, small_t5

FILES = METHOD_NAMES
# What the sizes of T5-base become in a model of width 32 with two blocks.
SMALL = {"reduction_factor": 4, "layers": (1,), "phm_dim": 4, "length": 5, "dim": 300}
# Before training a method changes nothing, but for these, which change the output little or much.
NEAR = {"adapter", "adapter_drop", "compacter", "compacter_pp", "pfeiffer", "phm_adapter"}
FREE = {"prompt_random", "prompt_tokens", "low_rank"}  # a prompt is read; the reference's low-rank factors start large


def cross(quick: Callable[[str, str], bool]) -> pytest.MarkDecorator:
    """Every pair; those that are not quick are for the soak."""
    pairs = [(file, kind) for file in FILES for kind in MODELS]
    marked = [pytest.param(*pair, marks=[] if quick(*pair) else [pytest.mark.soak]) for pair in pairs]
    return pytest.mark.parametrize(("file", "kind"), marked)


every_pair = cross(lambda file, kind: kind == "v1.0" or file == "compacter")


def method(file: str) -> Method:
    """The method of a YAML, made small."""
    made: Any = load_method(file)
    if isinstance(made, Peft):
        pytest.importorskip("peft", reason="the optional library peft is not installed")
    given = {field.name for field in dataclasses.fields(made) if getattr(made, field.name) is not None}
    return dataclasses.replace(made, **{name: value for name, value in SMALL.items() if name in given})  # type: ignore[no-any-return]


def changed(file: str, kind: str, seed: int = 0) -> tuple[torch.nn.Module, set[str]]:
    """A small model of that kind under the method, without dropout, and the names that a checkpoint holds.

    The seed is that of what the method adds.
    """
    model = small_t5(kind, dropout_rate=0.0)
    base = tensors(model)
    torch.manual_seed(seed)
    method(file).apply(model)
    return model.train(), names_to_save(model, base)


def trained(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def step(model: torch.nn.Module, count: int = 2) -> list[float]:
    """Losses of a few AdamW steps; of the first one a rule of 1e-4 leaves s and t next to no gradient."""
    optimizer = torch.optim.AdamW(trained(model).values(), lr=0.02, weight_decay=0.0)
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = model(**batch()).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def logits(model: torch.nn.Module) -> Tensor:
    with torch.no_grad():
        return model.eval()(**batch()).logits


def test_output_layers_are_tied_as_in_the_published_models() -> None:
    tied = {kind: (model := small_t5(kind)).lm_head.weight is model.shared.weight for kind in MODELS}
    assert {kind for kind, is_tied in tied.items() if not is_tied} == UNTIED


def test_every_supported_model_type_is_crossed() -> None:
    assert {kind.model_type for kind, _ in MODELS.values()} == SUPPORTED.keys()


@every_pair
def test_a_step_changes_what_is_trained_and_nothing_else(file: str, kind: str) -> None:
    model, saved = changed(file, kind)
    before = copy.deepcopy(dict(model.named_parameters()))
    step(model)
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters()), "every trainable has a gradient"
    now = dict(model.named_parameters())
    different = {name for name, tensor in now.items() if not torch.equal(tensor, before[name])}
    assert different == trained(model).keys() == saved


@every_pair
def test_save_and_load(file: str, kind: str, tmp_path: Path) -> None:
    model, saved = changed(file, kind)
    step(model)
    named = dict(model.named_parameters())
    save_file({name: named[name].detach().contiguous() for name in saved}, tmp_path / "x.safetensors")
    again, _ = changed(file, kind, seed=1)
    assert not torch.equal(logits(again), logits(model))
    again.load_state_dict(load_file(tmp_path / "x.safetensors"), strict=False)
    assert torch.equal(logits(again), logits(model))


@every_pair
def test_at_the_beginning(file: str, kind: str) -> None:
    before = logits(small_t5(kind, dropout_rate=0.0))
    distance = (logits(changed(file, kind)[0]) - before).abs().max()
    limit = 0.05 * before.abs().max().item() if file in NEAR | FREE else 0.0
    assert distance.item() > limit if file in FREE else distance.item() <= limit


@every_pair
def test_generation_with_and_without_cache(file: str, kind: str) -> None:
    model, _ = changed(file, kind)
    step(model)
    inputs = {key: value for key, value in batch().items() if key != "labels"}
    outputs = [
        model.eval().generate(**inputs, max_new_tokens=6, do_sample=False, use_cache=cache)  # type: ignore[operator]
        for cache in (True, False)
    ]
    assert torch.equal(*outputs)
    # What greedy decoding chose is what a full forward pass prefers: the method took part in every step.
    preferred = model(**inputs, decoder_input_ids=outputs[0][:, :-1]).logits.argmax(-1)
    alive = (outputs[0][:, :-1] == 1).cumsum(1) == 0  # before the end of sequence
    assert torch.equal(preferred[alive], outputs[0][:, 1:][alive])


@every_pair
def test_gradient_checkpointing(file: str, kind: str) -> None:
    plain, _ = changed(file, kind)
    model = copy.deepcopy(plain)
    model.gradient_checkpointing_enable()  # type: ignore[operator]
    gradients = []
    for one in (plain, model):
        one(**batch()).loss.backward()
        gradients.append([p.grad for p in trained(one).values()])
    for expected, actual in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, expected)


@every_pair
def test_bf16(file: str, kind: str) -> None:
    model, _ = changed(file, kind)
    exact = model(**batch()).loss
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(**batch()).loss
    loss.backward()
    assert abs(loss - exact) < 0.05 * exact
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained(model).values())


# Ten seconds each, so one of each way to attach to a model is enough.
@pytest.mark.slow
@cross(lambda file, kind: kind == "v1.0" and file in {"compacter", "prompt_random"})
def test_compiled(file: str, kind: str) -> None:
    model, _ = changed(file, kind)
    expected = model(**batch()).loss
    torch._dynamo.reset()
    actual = torch.compile(model, backend="aot_eager")(**batch()).loss
    torch.testing.assert_close(actual, expected)
