"""The benchmarks run, write what they say, and go on where they were stopped."""

import json
import sys
from pathlib import Path

import pytest

from lit_compacter.benchmarks import efficiency, methods
from tests.conftest import DEMO, TINY


def test_efficiency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small = [f"--model_name={TINY}", "--batch_size=2", "--length=8", "--steps=1", "--device=cpu"]
    monkeypatch.setattr(sys, "argv", ["efficiency", f"--out={tmp_path}", *small, "--methods", "full", "layer_norms"])
    efficiency.main()
    results = json.loads((tmp_path / "efficiency.json").read_text())["methods"]
    assert {name: result["trained"] for name, result in results.items()} == {"full": 1_157_632, "layer_norms": 1_792}
    assert results["layer_norms"]["checkpoint_bytes"] < 20_000 < results["full"]["checkpoint_bytes"]
    table = (tmp_path / "efficiency.md").read_text()
    assert "| full | 1,157,632 |" in table and "| 1.00 |" in table and (tmp_path / "efficiency.png").exists()

    def never(*_: str) -> str:
        raise AssertionError("measured again")

    monkeypatch.setattr(efficiency, "run", never)
    capsys.readouterr()
    scores = tmp_path / "methods.json"
    scores.write_text(json.dumps({"methods": {"full": {"val/score": 0.9}}}))
    sys.argv += ["--scores", str(scores)]
    by_time = (tmp_path / "efficiency.png").read_bytes()
    efficiency.main()
    assert table in capsys.readouterr().out
    assert (tmp_path / "efficiency.png").read_bytes() != by_time
    sys.argv[sys.argv.index("--length=8")] = "--length=9"
    with pytest.raises(SystemExit, match=r"measured otherwise .*2 × 8.*--out"):
        efficiency.main()


def test_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--config", "rte.yaml", "--data.data_dir", str(DEMO), "--model.model_name", str(TINY)]
    options += ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1"]
    monkeypatch.setattr(sys, "argv", ["methods", f"--out={tmp_path}", "--methods", "layer_norms", "--", *options])
    methods.main()
    result = json.loads((tmp_path / "methods.json").read_text())["methods"]["layer_norms"]
    assert {"val/accuracy", "val/score", "first_loss", "last_loss", "seconds"} <= result.keys()
    assert result["command"].startswith("python main.py fit --config rte.yaml --config methods/NAME.yaml --data")
    assert "| layer_norms |" in (tmp_path / "methods.md").read_text()


def test_the_methods_file_wins_over_configs_and_loses_to_options() -> None:
    options = ["--config", "demo.yaml", "-c=text2text.yaml", "--data.batch_size", "3"]
    expected = ["--config", "demo.yaml", "-c=text2text.yaml", "--config", "x", "--data.batch_size", "3"]
    assert methods.with_method("x", options) == expected
    assert methods.with_method("x", ["--run_name=a"]) == ["--config", "x", "--run_name=a"]


def test_what_could_not_be_measured_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The methods of T5-base's sizes that do not fit the smallest model."""
    small = [f"--model_name={TINY}", "--batch_size=2", "--length=8", "--steps=1", "--device=cpu", f"--out={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["efficiency", *small, "--methods", "full", "adapter_drop"])
    with pytest.raises(SystemExit, match="not measured: adapter_drop;"):
        efficiency.main()
