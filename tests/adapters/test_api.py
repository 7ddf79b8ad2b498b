"""Adapters on a stock T5: every method on every model type attaches, switches, saves, loads, and leaves no trace."""

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, T5ForConditionalGeneration

import lit_compacter
from lit_compacter import (
    Compacter,
    LayerNorms,
    active_adapter,
    add_adapter,
    delete_adapter,
    disable_adapters,
    load_adapter,
    save_adapter,
    set_adapter,
    trainable_parameters,
    use_adapters,
)
from lit_compacter.adapters.manager import ATTRIBUTE
from lit_compacter.methods import Adapter, FullFineTuning
from tests.conftest import ROOT, shared
from tests.models import batch, small_t5
from tests.test_contract import every_pair, method

SMALL = Compacter(reduction_factor=4)


def stock(kind: str = "v1.0") -> T5ForConditionalGeneration:
    return small_t5(kind, dropout_rate=0.0).eval()


@torch.no_grad()
def logits(model: T5ForConditionalGeneration, **inputs: Tensor) -> Tensor:
    return model(**(inputs or batch())).logits


def structure(model: torch.nn.Module) -> dict[str, object]:
    """Everything of a model that an adapter could leave behind."""
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    return {
        "modules": [(name, id(module)) for name, module in model.named_modules()],
        "state": {name: id(tensor) for name, tensor in model.state_dict(keep_vars=True).items()},
        "trainable": [parameter.requires_grad for parameter in model.parameters()],
        "hooks": hooks,
        "attribute": hasattr(model, ATTRIBUTE),
    }


def shake(model: torch.nn.Module, seed: int) -> None:
    """Give the active adapter random values, near those that it has."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in trainable_parameters(model):
            parameter.add_(0.3 * torch.randn_like(parameter))


@every_pair
def test_attach_switch_save_load_delete(file: str, kind: str, tmp_path: Path) -> None:
    model, made = stock(kind), method(file)
    before, base = structure(model), logits(model)
    if isinstance(made, FullFineTuning):
        with pytest.raises(ValueError, match=r"is no adapter; use model.save_pretrained"):
            add_adapter(model, made)
        assert structure(model) == before
        return
    expected = {}
    for seed, name in enumerate(("a", "b")):
        add_adapter(model, made, name)
        shake(model, seed)
        expected[name] = logits(model)
        save_adapter(model, tmp_path / name)
    assert not torch.equal(expected["a"], expected["b"]) and not torch.equal(expected["a"], base)
    set_adapter(model, "a")
    assert active_adapter(model) == "a" and torch.equal(logits(model), expected["a"])
    with disable_adapters(model):
        assert active_adapter(model) is None and torch.equal(logits(model), base)
    assert torch.equal(logits(model), expected["a"])
    delete_adapter(model, "a")
    assert torch.equal(logits(model), base)
    set_adapter(model, "b")
    assert torch.equal(logits(model), expected["b"])
    delete_adapter(model, "b")
    assert structure(model) == before and torch.equal(logits(model), base)

    for name in expected:
        load_adapter(model, tmp_path / name, name)
        assert not trainable_parameters(model)
    for name in ("a", "b", "a"):
        set_adapter(model, name)
        assert torch.equal(logits(model), expected[name])
    clone = copy.deepcopy(model)
    set_adapter(clone, "b")
    assert torch.equal(logits(clone), expected["b"]) and torch.equal(logits(model), expected["a"])
    for name in expected:
        delete_adapter(model, name)
    assert structure(model) == before and torch.equal(logits(model), base)


@every_pair
def test_rows_of_a_batch_use_different_adapters(file: str, kind: str) -> None:
    model, made = stock(kind), method(file)
    if isinstance(made, FullFineTuning):
        return
    for seed, name in enumerate("abc"):
        add_adapter(model, made, name)
        shake(model, seed)
    inputs = batch()
    names = ["c", "a", "b"]
    if not isinstance(made, Adapter):
        with pytest.raises(ValueError, match="of the adapter family only"), use_adapters(model, names):
            pass
        assert active_adapter(model) == "c"
        return
    before = structure(model)
    with use_adapters(model, names):
        mixed = logits(model, **inputs)
    assert structure(model) == before
    for row, name in enumerate(names):
        set_adapter(model, name)
        alone = logits(model, **{key: tensor[row : row + 1] for key, tensor in inputs.items()})
        torch.testing.assert_close(mixed[row : row + 1], alone, rtol=1e-5, atol=1e-5)


def test_rows_generate_with_their_own_adapters() -> None:
    """Also with beams, of which each row has several."""
    model = stock()
    for seed, name in enumerate("ab"):
        add_adapter(model, SMALL, name)
        shake(model, seed)
    ids = batch()["input_ids"]
    names = ["b", "a", "b"]
    for options in ({"num_beams": 1}, {"num_beams": 3}):
        options |= {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}
        with use_adapters(model, names):
            mixed = model.generate(input_ids=ids, **options)
        for row, name in enumerate(names):
            set_adapter(model, name)
            assert torch.equal(mixed[row], model.generate(input_ids=ids[row : row + 1], **options)[0])


def test_a_mixed_batch_of_a_real_model() -> None:
    """32 rows over 8 adapters give what the eight groups of four give one after another."""
    model = T5ForConditionalGeneration.from_pretrained(shared("t5-mini"), dtype=torch.float32).eval()
    for number in range(8):
        add_adapter(model, Compacter(reduction_factor=8), str(number))
        shake(model, number)
    inputs = {"input_ids": torch.randint(3, 1000, (32, 32)), "labels": torch.randint(3, 1000, (32, 8))}
    names = [str(row % 8) for row in range(32)]
    with use_adapters(model, names):
        mixed = logits(model, **inputs)
    for number in range(8):
        set_adapter(model, str(number))
        alone = logits(model, **{key: tensor[number::8].contiguous() for key, tensor in inputs.items()})
        assert (mixed[number::8] - alone).abs().max() <= 1e-5 * alone.abs().max()


def test_a_model_that_moves(tmp_path: Path) -> None:
    """Its type changes while an adapter is active, another one is not, and the stock layer norms are outside of it."""
    model = stock()
    base = logits(copy.deepcopy(model).to(torch.bfloat16))
    for seed, name in enumerate("ab"):
        add_adapter(model, SMALL, name)
        shake(model, seed)
        save_adapter(model, tmp_path / name)
    model.to(torch.bfloat16)
    for name in "ab":
        set_adapter(model, name)
        assert logits(model).dtype == torch.bfloat16
    with use_adapters(model, ["a", "b", "a"]):
        assert logits(model).dtype == torch.bfloat16
    with disable_adapters(model):
        assert torch.equal(logits(model), base)
    for name in "ab":
        delete_adapter(model, name)
    assert torch.equal(logits(model), base) and {p.dtype for p in model.parameters()} == {torch.bfloat16}
    for name in "ab":
        load_adapter(model, tmp_path / name, name)
    model.float()
    with use_adapters(model, ["a", "b", "a"]):
        assert logits(model).dtype == torch.float32


def test_a_copy_of_a_model() -> None:
    model = stock()
    base = logits(model)
    add_adapter(model, SMALL, "a")
    shake(model, 0)
    expected = logits(model)
    clone = copy.deepcopy(model)
    with disable_adapters(clone):
        assert torch.equal(logits(clone), base)
    delete_adapter(clone, "a")
    assert torch.equal(logits(clone), base) and torch.equal(logits(model), expected)


def test_nothing_changes_within_a_mixed_batch() -> None:
    model = stock()
    for name in "ab":
        add_adapter(model, SMALL, name)
    with use_adapters(model, ["a", "b", "a"]):
        for change in (
            lambda: set_adapter(model, "a"),
            lambda: add_adapter(model, SMALL),
            lambda: delete_adapter(model, "a"),
        ):
            with pytest.raises(ValueError, match="cannot be changed within use_adapters"):
                change()
    with disable_adapters(model):
        delete_adapter(model, "b")
    assert active_adapter(model) is None
    delete_adapter(model, "a")


def test_options_are_copied(tmp_path: Path) -> None:
    model, given = stock(), Compacter(reduction_factor=4, sublayers=["feed_forward"])  # type: ignore[arg-type]
    add_adapter(model, given, "a")
    given.reduction_factor = 2
    save_adapter(model, tmp_path)
    load_adapter(model, tmp_path, "b")
    with use_adapters(model, ["a", "b", "a"]):
        logits(model)


def test_models_that_cannot_have_adapters() -> None:
    with pytest.raises(ValueError, match=r"T5 overflows in float16; load it with dtype=torch.bfloat16"):
        add_adapter(stock().half(), SMALL)
    with pytest.raises(ValueError, match="no adapter is active; the model has none"):
        save_adapter(stock(), "x")


def test_adapters_of_one_batch_need_one_method() -> None:
    model = stock()
    add_adapter(model, SMALL, "a")
    add_adapter(model, Compacter(reduction_factor=8), "b")
    with pytest.raises(ValueError, match="the rows of a batch need one method with the same options"):
        use_adapters(model, ["a", "b"]).__enter__()
    with pytest.raises(ValueError, match="expected a list with a name for each row"):
        use_adapters(model, []).__enter__()
    with use_adapters(model, ["a", "a"]), pytest.raises(ValueError, match="2 names were given for a batch of 3"):
        logits(model)


def test_training_is_of_the_active_adapter(tmp_path: Path) -> None:
    model = stock()
    add_adapter(model, SMALL, "a")
    optimizer = torch.optim.AdamW(trainable_parameters(model), lr=0.01)
    first = logits(model)
    add_adapter(model, SMALL, "b")
    other = logits(model)
    set_adapter(model, "a")
    model(**batch()).loss.backward()
    optimizer.step()
    assert not torch.equal(logits(model), first)
    set_adapter(model, "b")
    assert torch.equal(logits(model), other)
    save_adapter(model, tmp_path, "a")
    load_adapter(model, tmp_path, "again", is_trainable=True)
    assert len(trainable_parameters(model)) == len(optimizer.param_groups[0]["params"])


def test_saving_the_model_with_an_adapter(tmp_path: Path) -> None:
    """The shared rule is one tensor with one name."""
    model = stock()
    add_adapter(model, SMALL)
    shake(model, 0)
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    assert [name for name in saved if "phm_rule" in name] == ["phm_rule"]
    expected = logits(model)
    shake(model, 1)
    model.load_state_dict(saved, strict=False)
    assert torch.equal(logits(model), expected)
    state = copy.deepcopy(model.state_dict())
    shake(model, 1)
    model.load_state_dict(state)
    assert torch.equal(logits(model), expected)


def test_hugging_faces_trainer(tmp_path: Path) -> None:
    """A step of Seq2SeqTrainer, its own saving and resuming, and ours."""
    model = stock()
    base = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    add_adapter(model, SMALL)
    rows = [{name: tensor[row] for name, tensor in batch().items()} for row in range(3)]
    options: dict[str, Any] = {"output_dir": str(tmp_path), "learning_rate": 0.01, "report_to": [], "use_cpu": True}
    options |= {"save_steps": 1, "per_device_train_batch_size": 3, "disable_tqdm": True}
    Seq2SeqTrainer(model, Seq2SeqTrainingArguments(max_steps=2, **options), train_dataset=rows).train()
    trained = logits(model)
    save_adapter(model, tmp_path / "adapter")
    with disable_adapters(model):
        assert all(torch.equal(tensor, base[name]) for name, tensor in model.state_dict().items())

    again = stock()
    add_adapter(again, SMALL)
    trainer = Seq2SeqTrainer(again, Seq2SeqTrainingArguments(max_steps=2, **options), train_dataset=rows)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    torch.testing.assert_close(logits(again), trained)
    fresh = stock()
    load_adapter(fresh, tmp_path / "adapter")
    assert torch.equal(logits(fresh), trained)


def test_other_precisions(tmp_path: Path) -> None:
    model = stock()
    add_adapter(model, SMALL)
    shake(model, 0)
    expected = logits(model)
    save_adapter(model, tmp_path)
    delete_adapter(model, "default")
    rounded = model.to(torch.bfloat16)
    load_adapter(rounded, tmp_path)
    assert logits(rounded).dtype == torch.bfloat16
    torch.testing.assert_close(logits(rounded).float(), expected, rtol=0.1, atol=0.1)
    save_adapter(rounded, tmp_path / "bf16")
    exact = stock()
    load_adapter(exact, tmp_path / "bf16")
    torch.testing.assert_close(logits(exact), expected, rtol=0.1, atol=0.1)


def write_config(folder: Path, **changes: object) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    """One clear line each, and the model as it was."""
    model = stock()
    add_adapter(model, SMALL, "a")
    save_adapter(model, tmp_path / "good")
    before = structure(model)

    def refused(path: Path | str, name: str, message: str, other: T5ForConditionalGeneration = model) -> None:
        with pytest.raises(ValueError, match=message) as raised:
            load_adapter(other, path, name)
        assert len(str(raised.value).splitlines()) == 1
        assert structure(model) == before

    refused(tmp_path / "good", "a", "already has an adapter 'a'; give another name")
    refused(tmp_path / "absent", "b", "no folder .*; expected an adapter's folder or its name on the hub")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "b", "has no adapter_config.json")
    larger = small_t5(d_model=64).eval()
    refused(tmp_path / "good", "b", "trained on a model with d_model=32; this model has d_model=64", larger)
    other = stock()
    torch.nn.init.ones_(other.get_input_embeddings().weight)
    refused(tmp_path / "good", "b", "of the same shape with other weights", other)
    for name, changes, message in (
        ("library", {"library_name": "peft"}, "was not written by lit-compacter"),
        ("format", {"format": 99}, "has format 99, this version reads format 1"),
        ("method", {"method": "Mine"}, "has method 'Mine'; expected one of Adapter, "),
    ):
        folder = Path(shutil.copytree(tmp_path / "good", tmp_path / name))
        write_config(folder, **changes)
        refused(folder, "b", message)
    state = load_file(tmp_path / "good/adapter_model.safetensors")
    save_file(state | {"phm_rule": torch.zeros(2, 2, 2)}, tmp_path / "good/adapter_model.safetensors")
    refused(tmp_path / "good", "b", r"phm_rule is \(2, 2, 2\) in it and \(4, 4, 4\) in this model \(1 such in all\)")
    (tmp_path / "good/adapter_model.safetensors").write_bytes(b"cos\nsystem\n(S'echo run'\ntR.")
    refused(tmp_path / "good", "b", "cannot read .*adapter_model.safetensors")
    with pytest.raises(ValueError, match="no adapter 'c'; the model has 'a'"):
        set_adapter(model, "c")
    with pytest.raises(ValueError, match="phm_dim 5 does not divide"):
        add_adapter(model, Compacter(reduction_factor=4, phm_dim=5), "d")
    assert structure(model) == before and active_adapter(model) == "a"


def test_layer_norms_are_the_adapters_own() -> None:
    model = stock()
    original = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    add_adapter(model, LayerNorms())
    shake(model, 0)
    with disable_adapters(model):
        assert all(torch.equal(tensor, original[name]) for name, tensor in model.state_dict().items())


def test_inference_imports_no_lightning() -> None:
    code = "import sys, lit_compacter as c; c.load_adapter, c.predict; print('pytorch_lightning' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_all_names_are_documented() -> None:
    text = (ROOT / "docs/python.md").read_text()
    assert all(f"`{name}" in text or f"{name}(" in text for name in lit_compacter._MODULES)
