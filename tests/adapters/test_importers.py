"""Adapters of other programs give the outputs that those programs give."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration

from lit_compacter import add_adapter, delete_adapter, load_adapter, save_adapter
from lit_compacter.adapters.manager import AdapterManager
from lit_compacter.methods import Peft
from tests.adapters.test_api import logits, shake, stock, structure
from tests.conftest import ROOT, shared
from tests.methods.test_golden import GOLDEN

ADAPTERHUB = ROOT / "tests/golden/adapterhub"  # what `adapters` 1.3.0 writes for a T5AdapterModel, and its logits


def backbone() -> T5ForConditionalGeneration:
    return T5ForConditionalGeneration.from_pretrained(ADAPTERHUB / "backbone").eval()


@pytest.mark.parametrize("name", ["compacter", "houlsby", "phm"])
def test_adapterhub(name: str) -> None:
    model = backbone()
    load_adapter(model, ADAPTERHUB / name)
    io = load_file(ADAPTERHUB / "io.safetensors")
    found = logits(model, input_ids=io["input_ids"], labels=io["labels"])
    torch.testing.assert_close(found, io[f"logits.{name}"], rtol=1e-5, atol=1e-5)


def test_adapterhub_with_the_rule_that_it_lost(tmp_path: Path) -> None:
    """`adapters` did not save this adapter's shared rule. Its 64 numbers were fitted to its 1,152 logits."""
    golden = shared("golden", "adapterhub_compacter")
    folder = Path(shutil.copytree(golden / "adapter", tmp_path / "x"))
    tensors = torch.load(folder / "pytorch_adapter.bin", weights_only=True)
    rule = load_file(ADAPTERHUB / "lost_rule.safetensors")["phm_rule"]
    (folder / "pytorch_adapter.bin").unlink()
    torch.save(tensors | {"shared_parameters.t.phm_rule": rule}, folder / "pytorch_adapter.bin")
    model, io = backbone(), load_file(golden / "io.safetensors")
    load_adapter(model, folder)
    found = logits(model, input_ids=io["input_ids"], labels=io["labels"])
    torch.testing.assert_close(found, io["logits"], rtol=1e-5, atol=1e-5)


def test_what_adapterhub_computes_otherwise_is_refused(tmp_path: Path) -> None:
    model, before = backbone(), structure(backbone())
    folder = Path(shutil.copytree(ADAPTERHUB / "compacter", tmp_path / "x"))
    content = json.loads((folder / "adapter_config.json").read_text())
    for option, value, reason in (
        ("original_ln_before", True, "it feeds the adapter the sum with the residual, another function"),
        ("scaling", 2.0, "it scales the output"),
        ("non_linearity", "tanh", "expected gelu, "),
    ):
        changed = content | {"config": content["config"] | {option: value}}
        (folder / "adapter_config.json").write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=rf"{option} {value}.*{reason}"):
            load_adapter(model, folder)
    (folder / "adapter_config.json").write_text(json.dumps(content | {"config": {"architecture": "lora"}}))
    with pytest.raises(ValueError, match="is a lora adapter of AdapterHub; expected a bottleneck adapter"):
        load_adapter(model, folder)
    (folder / "adapter_config.json").write_text(json.dumps(content))
    tensors = torch.load(folder / "pytorch_adapter.bin", weights_only=True)
    torch.save({k: v for k, v in tensors.items() if "shared" not in k}, folder / "pytorch_adapter.bin")
    with pytest.raises(ValueError, match="lacks the shared phm_rule: `adapters` does not save it"):
        load_adapter(model, folder)
    assert [name for name, _ in before["modules"]] == [name for name, _ in structure(model)["modules"]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", GOLDEN)
def test_the_papers_code(name: str, tmp_path: Path) -> None:
    """Its pytorch_model.bin, which holds the whole model: method and options are inferred."""
    with safe_open(ROOT / f"tests/golden/{name}.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        config = json.loads(file.metadata()["config"])
    state = {key.removeprefix("state."): tensor for key, tensor in tensors.items() if key.startswith("state.")}
    torch.save(state, tmp_path / "pytorch_model.bin")
    model = T5ForConditionalGeneration(T5Config(**{k: v for k, v in config.items() if k != "adapter"}))
    base = {key: state[key] for key in model.state_dict() if key in state}
    model.load_state_dict(base, strict=False)
    model.eval()
    for parameter in model.modules():
        if type(parameter).__name__.endswith("LayerNorm"):
            torch.nn.init.ones_(parameter.weight)  # type: ignore[arg-type]  # the adapter's own are in the file
    load_adapter(model, tmp_path)
    method = AdapterManager.of(model)["default"].config.method
    assert method == GOLDEN[name]
    inputs = {key: tensors[key] for key in ("input_ids", "attention_mask", "labels")}
    torch.testing.assert_close(logits(model, **inputs), tensors["logits"], rtol=1e-5, atol=1e-5)


def test_the_papers_code_on_another_model(tmp_path: Path) -> None:
    model = stock()
    state = {"shared.weight": torch.zeros(64, 32), "prefix_shared": torch.zeros(3, 32)}
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="was trained on another model"):
        load_adapter(model, tmp_path)
    torch.save({"shared.weight": torch.zeros(64, 32)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="holds no adapter, biases or prompt: it is a fully fine-tuned model"):
        load_adapter(model, tmp_path)
    torch.save({"x": Path()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="a pickle of more than tensors, which could run code"):
        load_adapter(model, tmp_path)


def test_peft(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="the optional library peft is not installed")
    inputs: dict[str, Tensor] = {}
    for name, config in {
        "lora": peft.LoraConfig(r=3, target_modules=["q", "v"], task_type="SEQ_2_SEQ_LM", lora_alpha=7),
        "ia3": peft.IA3Config(target_modules=["k", "wo"], feedforward_modules=["wo"], task_type="SEQ_2_SEQ_LM"),
    }.items():
        wrapped = peft.get_peft_model(stock(), config)
        shake(wrapped, 0)
        wrapped.eval()
        expected = logits(wrapped, **inputs)
        wrapped.save_pretrained(tmp_path / name, save_embedding_layers=False)
        model = stock()
        load_adapter(model, tmp_path / name)
        assert torch.equal(logits(model, **inputs), expected)
        save_adapter(model, tmp_path / f"{name}-ours")
        delete_adapter(model, "default")
        load_adapter(model, tmp_path / f"{name}-ours")
        assert torch.equal(logits(model, **inputs), expected)
    tensors = load_file(tmp_path / "lora/adapter_model.safetensors")
    tensors.popitem()
    save_file(tensors, tmp_path / "lora/adapter_model.safetensors")
    with pytest.raises(ValueError, match=r"is absent \(1 in all\)"):
        load_adapter(stock(), tmp_path / "lora")
    model = stock()
    add_adapter(model, Peft({"peft_type": "LORA", "r": 2, "target_modules": ["q"]}))
