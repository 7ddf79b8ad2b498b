"""A backbone is loaded whole or not at all, and what can be downloaded runs nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertConfig, T5ForConditionalGeneration

from lit_compacter.backbones.loading import fingerprint, load_backbone, load_config
from lit_compacter.backbones.weights import open_files
from lit_compacter.errors import UserError
from tests.models import small_t5


def test_random_weights_keep_the_configs_output_layer(tmp_path: Path) -> None:
    for tied in (True, False):
        small_t5("v1.1", tie_word_embeddings=tied).save_pretrained(tmp_path)
        model = load_backbone(str(tmp_path), pretrained=False)
        assert torch.equal(model.lm_head.weight, model.shared.weight) == tied


def test_fingerprint_tells_weights_apart() -> None:
    one, other = small_t5(), small_t5()
    assert fingerprint(one) == fingerprint(other)
    with torch.no_grad():
        other.shared.weight[0, 0] += 1
    assert fingerprint(one) != fingerprint(other)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="is a 'bert' model; supported model types: t5"):
        load_backbone(str(tmp_path))


def test_v1_1_keeps_its_own_output_layer(tmp_path: Path) -> None:
    model = small_t5("v1.1", tie_word_embeddings=False)
    model.lm_head.weight = nn.Parameter(torch.randn_like(model.lm_head.weight))
    model.save_pretrained(tmp_path)
    loaded = load_backbone(str(tmp_path))
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)
    assert not torch.equal(loaded.lm_head.weight, loaded.shared.weight)


def test_weights_stored_in_bf16_are_trained_in_float32(tmp_path: Path) -> None:
    small_t5().to(torch.bfloat16).save_pretrained(tmp_path)
    for pretrained in (True, False):
        assert {p.dtype for p in load_backbone(str(tmp_path), pretrained).parameters()} == {torch.float32}


def small_t5_of(value: float) -> T5ForConditionalGeneration:
    model = small_t5()
    nn.init.constant_(model.shared.weight, value)
    return model


def configured(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def edited(folder: Path, change: Callable[[bytes], bytes]) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(change(file.read_bytes()))


# What is done to a folder that held a whole model → what is said of it.
DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "num_truncated": (lambda folder: edited(folder, lambda b: b[:1000]), "cannot load the model"),
    "another header": (lambda folder: edited(folder, lambda b: b"\xff" * 8 + b[8:]), "cannot load the model"),
    "renamed": (
        lambda folder: edited(folder, lambda b: b.replace(b"SelfAttention.q", b"SelfAttention.x", 1)),
        "decoder.block.0.layer.0.SelfAttention.q.weight is absent or of another shape (1 such in all)",
    ),
    "more layers": (
        lambda folder: configured(folder, num_layers=3),
        "encoder.block.2.layer.0.SelfAttention.k.weight is absent or of another shape (8 such in all)",
    ),
    "wider": (lambda folder: configured(folder, d_ff=128), "of another shape (8 such in all)"),
    "no layers": (lambda folder: configured(folder, num_layers=-1), "has num_layers -1; expected 1 or more"),
    "no padding": (lambda folder: configured(folder, pad_token_id=None), "pad_token_id None; expected a token's"),
    "no such token": (
        lambda folder: configured(folder, eos_token_id=10**6),
        "eos_token_id 1000000; expected a",
    ),
    "no decoder": (
        lambda folder: configured(folder, is_encoder_decoder=False),
        "is_encoder_decoder False; expected",
    ),
    "no number": (lambda folder: configured(folder, d_model="wide"), "d_model"),
    "no config": (lambda folder: (folder / "config.json").write_text("[]"), "cannot load the model"),
}


def open_parts(folder: str) -> object:
    return open_files(folder, Path(folder), load_config(folder))


@pytest.mark.parametrize("load", [load_backbone, open_parts])
@pytest.mark.parametrize("case", DAMAGES)
def test_no_part_of_a_model_is_random(case: str, load: Callable[[str], object], tmp_path: Path) -> None:
    small_t5().save_pretrained(tmp_path)
    change, message = DAMAGES[case]
    change(tmp_path)
    with pytest.raises(UserError) as refused:
        load(str(tmp_path))
    assert message in str(refused.value)


@pytest.mark.parametrize("load", [load_backbone, open_parts])
def test_weights_that_the_config_leaves_out(load: Callable[[str], object], tmp_path: Path) -> None:
    small_t5().save_pretrained(tmp_path)
    configured(tmp_path, num_layers=1)
    with pytest.warns(UserWarning, match=r"weights that its config.json does not use: encoder.block.1.* \(8 in all\)"):
        load(str(tmp_path))


def test_a_pickle_that_would_run_something_runs_nothing(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    small_t5().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"shared.weight": Bomb()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="a pickle of more than tensors, which could run code"):
        load_backbone(str(tmp_path))
    assert not (tmp_path / "ran").exists()


def test_a_models_own_code_is_not_run(tmp_path: Path) -> None:
    small_t5().save_pretrained(tmp_path)
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nfrom transformers import T5Config\n")
    configured(tmp_path, model_type="own", auto_map={"AutoConfig": "own.T5Config"})
    with pytest.raises(UserError, match="cannot load the model"):
        load_backbone(str(tmp_path))
    assert not (tmp_path / "ran").exists()
