"""A backbone of which each process reads its part is the one that is loaded whole."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.drawing import RandomWeights
from lit_compacter.backbones.loading import fingerprint, load_backbone, load_config
from lit_compacter.backbones.options import BackboneOptions
from lit_compacter.backbones.placeholders import is_placeholder
from lit_compacter.backbones.sharded import shard
from lit_compacter.backbones.weights import Part, Weights, open_files
from lit_compacter.cli.configs import METHOD_NAMES
from lit_compacter.errors import UserError
from lit_compacter.methods import Compacter, LayerNorms, PromptTuning
from lit_compacter.methods.base import Method
from lit_compacter.model import FineTunedModel, build_model
from tests.models import MODELS, batch, small_t5
from tests.test_contract import method

COUNT = 3  # processes; it divides no dimension of the small models


def opened(folder: Path) -> Weights:
    weights = open_files(str(folder), folder, load_config(str(folder)))
    assert weights is not None
    return weights


def check_equal(weights: list[Weights], whole: T5ForConditionalGeneration) -> None:
    """The parts are those of the whole model, which no process holds; so are ties, vectors and the fingerprint."""
    for name, tensor in whole.state_dict().items():
        parts = []
        for index, one in enumerate(weights):
            parameter = one.model.get_parameter(name)
            assert is_placeholder(parameter) and parameter.dtype == torch.float32
            parts.append(one.rows(parameter, Part(index, len(weights)).rows(parameter)))
        assert torch.equal(torch.cat(parts), tensor), name
    assert not list(whole.buffers()), "else their values would have to be set"
    for one in weights:
        assert [name for name, _ in one.model.named_parameters()] == [name for name, _ in whole.named_parameters()]
        assert fingerprint(one.model, one.rows) == fingerprint(whole)


@pytest.mark.parametrize(
    ("stored", "kind"), [("one file", "v1.0"), ("bfloat16", "v1.1"), *(("several files", kind) for kind in MODELS)]
)
def test_parts_of_files(stored: str, kind: str, tmp_path: Path) -> None:
    model = small_t5(kind)
    model.to(torch.bfloat16 if stored == "bfloat16" else torch.float32)
    model.save_pretrained(tmp_path, max_shard_size="20KB" if stored == "several files" else "1GB")
    assert (tmp_path / "model.safetensors").exists() == (stored != "several files")
    check_equal([opened(tmp_path)] * COUNT, load_backbone(str(tmp_path)))


EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")


@pytest.mark.parametrize("names", [EMBEDDINGS, EMBEDDINGS[:1], EMBEDDINGS[2:3], EMBEDDINGS[3:], EMBEDDINGS[1:3]])
@pytest.mark.parametrize("untied", [None, EMBEDDINGS[2]])
def test_tied_names(names: tuple[str, ...], untied: str | None, tmp_path: Path) -> None:
    """Files have some or all names of a tied tensor, and transformers unties those with other values."""
    small_t5().save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    (embeddings,) = [state.pop(name) for name in EMBEDDINGS if name in state]
    state |= {name: embeddings + (name == untied) for name in names}
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    check_equal([opened(tmp_path)], load_backbone(str(tmp_path)))


@pytest.mark.parametrize("kind", MODELS)
def test_parts_of_random_weights(kind: str, tmp_path: Path) -> None:
    """They are those of every other strategy, and so are the numbers that the method draws next."""
    small_t5(kind).config.save_pretrained(tmp_path)
    torch.manual_seed(1)
    whole, drawn = load_backbone(str(tmp_path), pretrained=False), torch.get_rng_state()
    weights: list[Weights] = []
    for index in range(COUNT):
        torch.manual_seed(1)
        weights.append(RandomWeights(load_config(str(tmp_path)), Part(index, COUNT)))
        assert torch.equal(torch.get_rng_state(), drawn)
    check_equal(weights, whole)


def test_an_absent_file(tmp_path: Path) -> None:
    small_t5().save_pretrained(tmp_path, max_shard_size="20KB")
    file = sorted(tmp_path.glob("model-*.safetensors"))[1]
    file.unlink()
    with pytest.raises(UserError, match=rf"lacks {file.name} \(1 files in all\), which its model.safetensors.index"):
        opened(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(UserError, match="cannot load the model"):
        opened(tmp_path)


def built(how: Method, folder: Path, part: Part | None, **options: Any) -> FineTunedModel:
    torch.manual_seed(1)
    return build_model(how, BackboneOptions(model_name=str(folder), **options), part)


@pytest.mark.parametrize(
    ("name", "pretrained"), [("compacter", False), *((name, True) for name in METHOD_NAMES if name != "full")]
)
def test_what_a_method_adds_and_trains(name: str, pretrained: bool, tmp_path: Path) -> None:
    small_t5().save_pretrained(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the one that reads the weights
        sliced = built(method(name), tmp_path, Part(1, COUNT), pretrained=pretrained)
    whole = built(method(name), tmp_path, None, pretrained=pretrained)
    assert sliced.saved_names == whole.saved_names and sliced.backbone == whole.backbone
    state = {key: tensor for key, tensor in sliced.model.state_dict(keep_vars=True).items() if key in whole.saved_names}
    for key, tensor in state.items():
        expected = whole.model.state_dict(keep_vars=True)[key]
        assert torch.equal(tensor, expected) and tensor.requires_grad == expected.requires_grad
        assert not is_placeholder(tensor)
    others = [parameter for key, parameter in sliced.model.named_parameters() if key not in whole.saved_names]
    assert all(map(is_placeholder, others)) == (name != "prompt_tokens")


def test_what_is_loaded_whole(tmp_path: Path) -> None:
    """Each says why in one line, and nothing else differs."""
    small_t5().save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="method PromptTuning may read the backbone's weights, so each process first"):
        assert built(PromptTuning(length=2, init="tokens"), tmp_path, Part(0, 2)).weights is None
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.warns(UserWarning, match=r"has no model.safetensors, which its save_pretrained would write, so each"):
        pickled = built(LayerNorms(), tmp_path, Part(0, 2))
    whole = built(LayerNorms(), tmp_path, None)
    for one, other in zip(pickled.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(one, other)


@dataclass
class CopiesWeights(Method):
    """Reads the weights without saying so, or trains matrices."""

    trains: bool = False

    def inject(self, model: T5ForConditionalGeneration) -> None:
        if self.trains:
            model.lm_head.requires_grad_(True)
        else:
            model.register_parameter("copy", nn.Parameter(model.lm_head.weight.detach() * 2))


def test_what_cannot_be_read_in_parts(tmp_path: Path) -> None:
    small_t5().save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"CopiesWeights reads the backbone's weights: its reads_weights\(\) must"):
        built(CopiesWeights(), tmp_path, Part(0, 2))
    with pytest.raises(UserError, match=r"strategy sharded with --model.pretrained false trains no matrices"):
        built(CopiesWeights(trains=True), tmp_path, Part(0, 2), pretrained=False)
    trained = built(CopiesWeights(trains=True), tmp_path, Part(0, 2)).model.lm_head.weight
    assert torch.equal(trained, small_t5().lm_head.weight)


@pytest.fixture
def _one_process(tmp_path: Path) -> Iterator[None]:
    distributed.init_process_group("gloo", rank=0, world_size=1, init_method=f"file://{tmp_path}/store")
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("_one_process")
@pytest.mark.parametrize("kind", ["v1.0", "v1.1"])
@pytest.mark.parametrize("options", [{}, {"backbone_dtype": "bfloat16"}, {"pretrained": False}])
def test_logits(options: dict[str, Any], kind: str, tmp_path: Path) -> None:
    """Sharded among one process, which fills the shards as several do; tests/test_distributed.py runs two."""
    small_t5(kind).save_pretrained(tmp_path)
    how = Compacter(reduction_factor=4)
    whole, sliced = (built(how, tmp_path, part, **options) for part in (None, Part(0, 1)))
    kept = {parameter for name, parameter in sliced.model.named_parameters() if name in sliced.saved_names}
    shard(sliced.model, init_device_mesh("cpu", (1,)), kept, sliced.weights, Part(0, 1))

    def logits(model: T5ForConditionalGeneration) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled="backbone_dtype" in options), torch.no_grad():
            return model.eval()(**batch()).logits  # type: ignore[no-any-return]

    types = [parameter.dtype for parameter in whole.model.parameters()]
    assert types == [parameter.dtype for parameter in sliced.model.parameters()]
    assert sum(isinstance(parameter, DTensor) for parameter in sliced.model.parameters()) == len(types) - len(kept)
    torch.testing.assert_close(logits(sliced.model), logits(whole.model), rtol=0, atol=1e-6)
