"""A backbone in 8 or 4 bits: what is quantized, and that everything around it stays as it is."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from lit_compacter.backbones import quantization as module
from lit_compacter.backbones.options import BackboneOptions
from lit_compacter.checkpoints.io import read_checkpoint
from lit_compacter.cli.main import main
from lit_compacter.errors import UserError
from lit_compacter.layers import QuantizedLinear
from lit_compacter.layers.quantized import Quantization
from lit_compacter.methods import Compacter, LayerNorms, Peft
from lit_compacter.model import FineTunedModel, build_model, check_quantization
from lit_compacter.results.resources import count_parameters
from tests.command_line import QUICK, command, error
from tests.conftest import TINY
from tests.models import MODELS, batch, small_t5
from tests.test_contract import FILES, method, trained

REASON = "the optional library bitsandbytes is not installed"
needs_library = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason=REASON)
both = pytest.mark.parametrize("quantization", get_args(Quantization))
REFUSED = {"full", "bitfit", "intrinsic_said"}
LIMITS = {"8bit": 0.01, "nf4": 0.15}  # of the relative error of a product with a random weight
LOGITS = {"8bit": 0.03, "nf4": 0.7}  # the same of a random model, which amplifies it


def build(folder: Path | str, quantization: Quantization | None, how: Any = None, **options: Any) -> FineTunedModel:
    torch.manual_seed(0)
    options |= {"model_name": str(folder), "quantization": quantization}
    if quantization is not None:
        check_quantization(how or LayerNorms(), quantization)
    return build_model(how or LayerNorms(), BackboneOptions(**options))


def logits(model: nn.Module) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return model(**batch()).logits.float()


@needs_library
@both
def test_the_layer(quantization: Quantization) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(96, 40, bias=False)
    layer, x, dy = QuantizedLinear(linear, quantization), torch.randn(5, 96, requires_grad=True), torch.randn(5, 40)
    y = layer(x)
    assert (y - linear(x)).norm() < LIMITS[quantization] * y.norm()
    y.backward(dy)
    weight = layer(torch.eye(96)).T  # Q(W)
    torch.testing.assert_close(x.grad, dy @ weight)
    with torch.no_grad():
        layer.eval()(x)
    assert torch.equal(layer.train()(x), y), "evaluation leaves the weight alone"


@needs_library
@both
@pytest.mark.parametrize("kind", MODELS)
def test_what_is_quantized(quantization: Quantization, kind: str, tmp_path: Path) -> None:
    small_t5(kind).save_pretrained(tmp_path)
    exact, built = build(tmp_path, None), build(tmp_path, quantization)
    linears = {name for name, child in built.model.named_modules() if isinstance(child, QuantizedLinear)}
    attention_and_wi = {name.split(".")[-1] for name in linears}
    assert attention_and_wi in ({*"qkvo", "wi"}, {*"qkvo", "wi_0", "wi_1"})
    for name, parameter in built.model.named_parameters():
        bits = 8 if name.removesuffix(".weight") in linears else 32 if parameter.dim() == 1 else 16
        expected = 32 if "relative_attention_bias" in name else bits
        assert parameter.element_size() * 8 == expected, name
    assert built.backbone == exact.backbone, "the adapter fits both"
    assert count_parameters(built.model) == count_parameters(exact.model)
    with torch.no_grad():
        one, other = logits(built.model.eval()), exact.model.eval()(**batch()).logits
    assert (one - other).norm() < LOGITS[quantization] * other.norm()


@needs_library
@both
@pytest.mark.parametrize("file", FILES)
def test_every_method_trains_or_is_refused(quantization: Quantization, file: str, tmp_path: Path) -> None:
    small_t5().save_pretrained(tmp_path)
    if file in REFUSED:
        with pytest.raises(UserError, match=f"model.quantization {quantization} cannot be used with method .* because"):
            build(tmp_path, quantization, method(file))
        return
    built = build(tmp_path, quantization, method(file))
    assert {name for name, _ in trained(built.model).items()} == built.saved_names
    assert built.saved_names == build(tmp_path, None, method(file)).saved_names
    assert {parameter.dtype for parameter in trained(built.model).values()} == {torch.float32}
    before = {name: parameter.detach().clone() for name, parameter in built.model.named_parameters()}
    optimizer = torch.optim.AdamW(trained(built.model).values(), lr=0.02, weight_decay=0.0)
    for _ in range(2):  # of the first step, a rule of 1e-4 has next to no gradient
        optimizer.zero_grad()
        logits(built.model).square().mean().backward()
        optimizer.step()
    different = {name for name, p in built.model.named_parameters() if not torch.equal(p, before[name])}
    assert different == built.saved_names


@needs_library
def test_peft_that_reads_weights_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="the optional library peft is not installed")
    small_t5().save_pretrained(tmp_path)
    lora = {"peft_type": "LORA", "target_modules": ["q"]}
    for config in (lora | {"use_dora": True}, lora | {"init_lora_weights": "pissa"}, lora | {"peft_type": "OFT"}):
        with pytest.raises(UserError, match=r"Peft, because it has .*, which (may read|reads) the weights"):
            build(tmp_path, "nf4", Peft(config))


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the library bitsandbytes: pip install 'lit-compacter\[quantization\]'"):
        build(TINY, "nf4", Compacter())


@needs_library
@pytest.mark.usefixtures("_project_root")
@pytest.mark.parametrize(("trained_on", "tested_on"), [("nf4", "null"), ("null", "8bit"), ("8bit", "8bit")])
def test_commands(trained_on: str, tested_on: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(command("fit", tmp_path, "--run_name=run", f"--model.quantization={trained_on}"))
    assert "of 1.16 M parameters" in (printed := capsys.readouterr()).out, printed.out
    file = tmp_path / "run/checkpoints/best.ckpt"
    names = read_checkpoint(file)["state_dict"].keys()
    assert all(".adapter." in name or "layer_norm" in name or "phm_rule" in name for name in names)
    arguments = ["test", "--config", "demo.yaml", *QUICK, f"--trainer.default_root_dir={tmp_path}"]
    assert main([*arguments, f"--ckpt_path={file}", f"--model.quantization={tested_on}"])


@needs_library
@pytest.mark.usefixtures("_project_root")
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--trainer.strategy=sharded"], "strategy sharded cannot shard quantized weights"),
        (["--trainer.precision=64-true"], "computes in bfloat16; remove --trainer.precision 64-true"),
        (["--config=methods/full.yaml"], "cannot be used with method FullFineTuning, because it trains all weights"),
    ],
)
def test_what_is_refused(more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in error(capsys, *command("fit", tmp_path, "--model.quantization=nf4", *more))
