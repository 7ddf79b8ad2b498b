"""A method, a data module and a module of the user's own, named on the command line or in YAML."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lit_compacter.checkpoints.io import read_checkpoint
from lit_compacter.cli.main import main
from tests.command_line import command, error
from tests.conftest import ROOT

MINE = """
from dataclasses import dataclass

from lit_compacter.datamodule import GlueDataModule
from lit_compacter.methods import LayerNorms, Method
from lit_compacter.module import T5Module


@dataclass(frozen=True)
class OneNorm(Method):
    stack: str = "decoder"

    def inject(self, model):
        weight = getattr(model, self.stack).final_layer_norm.weight
        assert weight.sum().item() > 0  # a method may read the weights
        weight.requires_grad_(True)


class Shouting(GlueDataModule):
    def __init__(self, loud: bool = False, **options):
        super().__init__(**options)
        self.loud = loud

    def setup(self, stage):
        super().setup(stage)
        print("SHOUTING" if self.loud else "quiet", self.trainer.state.fn.value if self.trainer else "show")


class Scaled(T5Module):
    def __init__(self, scale: float = 1.0, **options):
        super().__init__(**options)
        self.scale = scale

    def training_step(self, batch, batch_idx):
        self.log("train/scale", self.scale)
        return self.scale * super().training_step(batch, batch_idx)


class Plain(T5Module):
    def __init__(self, method: Method, model_name: str = "t5", seed: int = 42):
        super().__init__(method, model_name=model_name, seed=seed)


class Fixed(GlueDataModule):
    def __init__(self, model_name: str, data_dir: str, batch_size: int = 16):
        super().__init__(task="rte", model_name=model_name, data_dir=data_dir, batch_size=batch_size)


class Nothing:
    pass
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, with their module in it."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["main.py"])
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


def printed_command(out: str) -> list[str]:
    """The words after `lit-compacter` of the command that fit prints for its evaluation."""
    (line,) = [line for line in out.splitlines() if line.startswith("test it: lit-compacter ")]
    return shlex.split(line)[3:]


QUICK = [*command("fit", Path("runs"))[3:], f"--data.data_dir={ROOT / 'data/demo'}"]
QUICK += [f"--model.model_name={ROOT / 'data/tiny-t5'}"]


@pytest.mark.parametrize("way", ["command line", "yaml"])
def test_every_verb(way: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if way == "yaml":
        method = {"class_path": "mine.OneNorm", "init_args": {"stack": "encoder"}}
        config = {
            "data": {"class_path": "mine.Shouting", "init_args": {"task": "rte", "loud": True}},
            "model": {"class_path": "mine.Scaled", "init_args": {"scale": 0.5, "method": method}},
        }
        Path("mine.yaml").write_text(yaml.safe_dump(config))
        named = ["--config=demo.yaml", "--config=mine.yaml"]
    else:
        named = ["--config=demo.yaml", "--data", "mine.Shouting", "--data.loud=true", "--model=mine.Scaled"]
        named += ["--model.scale=0.5", "--model.method=mine.OneNorm", "--model.method.stack=encoder"]
    metrics = main(["fit", *named, *QUICK, "--run_name=run", "--data.batch_size=8"])
    assert metrics is not None and metrics["train/scale"] == 0.5
    fitted = capsys.readouterr().out
    assert "SHOUTING fit" in fitted and "128 of 1.16 M parameters trainable" in fitted
    block = read_checkpoint("runs/run/checkpoints/best.ckpt")["lit_compacter"]
    assert (block["method"], block["options"]) == ("mine.OneNorm", {"stack": "encoder"})

    main([*printed_command(fitted), "--trainer.limit_test_batches=1"])
    assert "SHOUTING test" in capsys.readouterr().out
    assert yaml.safe_load(Path("runs/run/config-test.yaml").read_text())["data"]["class_path"] == "mine.Shouting"
    again = ["--config=runs/run/config.yaml", "--run_name=run"]
    main(["predict", *again, "--ckpt_path=last", "--data.loud=false"])
    assert "quiet predict" in capsys.readouterr().out
    main(["fit", *again, "--ckpt_path=last", "--trainer.max_epochs=2"])
    assert read_checkpoint("runs/run/checkpoints/last.ckpt")["global_step"] == 4
    main(["show", "--config=runs/run/config.yaml"])
    assert "rte: 2,000 examples to train" in capsys.readouterr().out


def test_a_checkpoint_alone_names_nothing_to_import(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["fit", "--config=demo.yaml", *QUICK, "--run_name=run", "--model.method=mine.OneNorm"])
    del sys.modules["mine"]
    test = ["test", "--config=demo.yaml", *QUICK, "--run_name=run", "--ckpt_path=best"]
    told = error(capsys, *test)
    assert "has method 'mine.OneNorm'; expected one of Adapter" in told and "own config.yaml with --config" in told
    assert "mine" not in sys.modules
    assert "the checkpoint has method 'mine.OneNorm'" in error(capsys, *test, "--model.method=BitFit")
    main([*test, "--model.method=mine.OneNorm"])
    assert "test/score" in json.loads(Path("runs/run/metrics.json").read_text())


def test_classes_with_few_options(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixed = ["--data.class_path=mine.Fixed", "--data.init_args.batch_size=8", *QUICK, "--run_name=run"]
    assert main(["fit", "--model=mine.Plain", *fixed])
    main([*printed_command(capsys.readouterr().out), "--trainer.limit_test_batches=1"])
    data = yaml.safe_load(Path("runs/run/config-test.yaml").read_text())["data"]
    assert data["class_path"] == "mine.Fixed" and data["init_args"]["batch_size"] == 8
    main(["show", *fixed])
    assert "rte: 2,000 examples to train" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data=mine.Nothing"], "--data is mine.Nothing; expected the import path of a class that extends"),
        (
            ["--data=Shouting"],
            "--data is Shouting; expected the import path of a class that extends lit_compacter.data",
        ),
        (["--model=mine.Absent"], "--model: module mine has no class Absent"),
        (["--model=nowhere.Scaled"], "No module named 'nowhere'; modules are looked for in the current folder"),
        (["--model=broken.Scaled"], "--model: cannot import broken.Scaled: ZeroDivisionError: division by zero"),
        (["--data=mine.Shouting", "--data.loudd=true"], "did you mean 'data.loud'?"),
        (["--model.method=mine.Absent"], "model.method: module mine has no class Absent"),
        (["--model.method=mine.Nothing"], "expected the import path of a class that extends lit_compacter.methods"),
        (["--model.method=broken.Method"], "model.method: cannot import broken.Method: ZeroDivisionError"),
        (["--model.method=mine.OneNorm", "--model.method.stak=encoder"], "'stak'"),
    ],
)
def test_mistakes(words: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in error(capsys, "fit", "--config=demo.yaml", *QUICK, *words)
    assert not Path("runs").exists()


def test_a_process_of_its_own_in_another_folder(here: Path) -> None:
    arguments = ["fit", "--config=demo.yaml", *QUICK, "--run_name=run", "--model.method=mine.OneNorm"]
    process = [sys.executable, str(ROOT / "main.py"), *arguments, "--data=mine.Shouting", "--data.loud=true"]
    result = subprocess.run(process, cwd=here, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0 and "SHOUTING fit" in result.stdout, result.stderr
