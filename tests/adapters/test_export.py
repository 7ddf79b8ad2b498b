"""A run's adapter in other programs: export, load, predict, train on, upload."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from lit_compacter import load_adapter, predict, use_adapters
from lit_compacter.adapters.folder import read_adapter
from lit_compacter.cli.main import main
from lit_compacter.utils.run_files import METRICS
from tests.command_line import command, error, run_cli
from tests.conftest import DEMO, ROOT, TINY

pytestmark = pytest.mark.usefixtures("_project_root")


@pytest.fixture
def exported(trained: Path, tmp_path: Path) -> Path:
    main(command("test", trained.parent, "--run_name=first", "--ckpt_path=best"))
    main(["export", "--run_name=first", f"--trainer.default_root_dir={trained.parent}", f"--output={tmp_path / 'out'}"])
    return tmp_path / "out"


def test_the_folder(exported: Path, trained: Path) -> None:
    names = {"README.md", "adapter_config.json", "adapter_model.safetensors", "learning_curve.png"}
    assert {path.name for path in exported.iterdir()} == names
    assert len({path.stat().st_mode for path in exported.iterdir() if path.suffix != ".png"}) == 1
    content = json.loads((exported / "adapter_config.json").read_text())
    metrics = json.loads((trained / METRICS).read_text())
    assert content["method"] == "Compacter" and content["task"] == "rte"
    tests = {name: value for name, value in metrics.items() if name.startswith("test/")}
    assert content["metrics"] == tests | {"val/score": metrics["val/best_score"]}
    assert content["labels"] == {"0": "entailment", "1": "not_entailment"}
    _, header, text = (exported / "README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(header)
    assert card["library_name"] == "lit-compacter" and card["datasets"] == ["nyu-mll/glue"]
    results = card["model-index"][0]["results"]
    found = {(r["dataset"]["split"], m["type"]): m["value"] for r in results for m in r["metrics"]}
    assert found["test", "accuracy"] == metrics["test/accuracy"]
    assert f'load_adapter(model, "{exported}")' in text and "![learning curve]" in text


def test_a_new_process_predicts_the_same(exported: Path, trained: Path, tmp_path: Path) -> None:
    main(command("predict", trained.parent, "--run_name=first", "--ckpt_path=best"))
    records = [json.loads(line) for line in (trained / "predictions.jsonl").read_text().splitlines()]
    code = f"""
import csv, json, sys
from pathlib import Path
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
from lit_compacter import load_adapter, predict
model = AutoModelForSeq2SeqLM.from_pretrained({str(TINY)!r})
load_adapter(model, {str(exported)!r}, "rte")
lines = [line.split("\t") for line in Path({str(DEMO / "RTE/test.tsv")!r}).read_text().splitlines()]
rows = [dict(zip(lines[0], line)) for line in lines[1:]]
print(json.dumps(predict(model, AutoTokenizer.from_pretrained({str(TINY)!r}), rows, task="rte")))
"""
    process = [sys.executable, "-c", code]
    result = subprocess.run(process, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)
    by_source = {record["source"]: record for record in found}
    assert len(records) > 10
    for record in records:
        same = by_source[record["source"]]
        assert (same["prediction"], same["raw_text"]) == (record["prediction"], record["raw_text"])


def test_a_run_starts_from_it(exported: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = f"--model.init_from={exported}"
    fit = command("fit", trained.parent, start, "--run_name=second", "--trainer.limit_train_batches=1")
    main([*fit, "--model.learning_rate=1e-30", "--model.warmup_steps=0"])
    main(["export", "--run_name=second", f"--trainer.default_root_dir={trained.parent}", f"--output={exported}-2"])
    first, second = (read_adapter(path)[1] for path in (exported, f"{exported}-2"))
    assert first.keys() == second.keys() and all((first[name] - second[name]).abs().max() < 1e-6 for name in first)
    capsys.readouterr()
    line = error(capsys, *command("fit", trained.parent, start, "--model.method.phm_rank=2"))
    assert "has the method Compacter(" in line and "phm_rank=2" in line
    assert "not empty; give another --output" in error(
        capsys, "export", "--run_name=first", f"--trainer.default_root_dir={trained.parent}", f"--output={exported}"
    )


def test_predict_names_what_is_wrong(exported: Path) -> None:
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(TINY), AutoTokenizer.from_pretrained(TINY)
    with pytest.raises(ValueError, match="no adapter is active"):
        predict(model, tokenizer, [])
    load_adapter(model, exported)
    with pytest.raises(ValueError, match="no field 'sentence2'; found 'sentence1'"):
        predict(model, tokenizer, [{"sentence1": "One."}])
    with pytest.raises(ValueError, match="unknown task 'rtee'"):
        predict(model, tokenizer, [], task="rtee")
    assert predict(model, tokenizer, []) == []
    row = {"sentence1": "Anna buys a plum.", "sentence2": "Anna buys a fruit."}
    (labeled,), (plain,) = predict(model, tokenizer, [row | {"label": 1}]), predict(model, tokenizer, [row])
    assert labeled == plain and "target" not in plain
    with use_adapters(model, ["default"]), pytest.raises(ValueError, match="leave use_adapters first"):
        predict(model, tokenizer, [row])


def test_adapterhubs_format(trained: Path, exported: Path, tmp_path: Path) -> None:
    """By our importer here; `adapters` 1.3.0 gives the same logits, tried by hand in an environment of its own."""
    export = [
        "export",
        "--run_name=first",
        f"--trainer.default_root_dir={trained.parent}",
        f"--output={tmp_path / 'x'}",
    ]
    main([*export, "--format=adapterhub"])
    first, second = (AutoModelForSeq2SeqLM.from_pretrained(TINY) for _ in range(2))
    norms = {k: v for k, v in read_adapter(exported)[1].items() if k.endswith("layer_norm.weight")}
    tensors = torch.load(tmp_path / "x/pytorch_adapter.bin", weights_only=True)
    assert norms.keys() == {key for key in tensors if key.endswith("layer_norm.weight")}
    second.load_state_dict(norms, strict=False)
    torch.save({k: v for k, v in tensors.items() if k not in norms}, tmp_path / "x/pytorch_adapter.bin")
    load_adapter(first, exported)
    load_adapter(second, tmp_path / "x")
    ids = torch.arange(2, 12)[None]
    assert torch.equal(first(input_ids=ids, labels=ids).logits, second(input_ids=ids, labels=ids).logits)


def test_pefts_format(trained: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="the optional library peft is not installed")
    main(command("fit", trained.parent, "--config=methods/lora.yaml", "--run_name=lora"))
    export = ["export", "--run_name=lora", f"--trainer.default_root_dir={trained.parent}"]
    main([*export, f"--output={tmp_path / 'peft'}", "--format=peft"])
    main([*export, f"--output={tmp_path / 'ours'}"])
    model = AutoModelForSeq2SeqLM.from_pretrained(TINY)
    wrapped = peft.PeftModel.from_pretrained(AutoModelForSeq2SeqLM.from_pretrained(TINY), tmp_path / "peft")
    load_adapter(model, tmp_path / "ours")
    ids = torch.arange(2, 12)[None]
    assert torch.equal(model(input_ids=ids, labels=ids).logits, wrapped(input_ids=ids, labels=ids).logits)


def test_mistakes(trained: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "export needs --output" in error(capsys, "export", "--run_name=x")
    output = f"--output={tmp_path / 'x'}"
    assert "best is a checkpoint of the run's own folder: it needs --run_name" in error(capsys, "export", output)
    assert "no checkpoint" in error(capsys, "export", output, "--ckpt_path=nowhere.ckpt")
    first = str(trained / "checkpoints/best.ckpt")
    assert "PEFT has no Compacter" in error(capsys, "export", output, f"--ckpt_path={first}", "--format=peft")
    assert "did you mean 'run_name'?" in error(capsys, "export", output, "--run_nam=x")
    assert run_cli("export", "--help").stdout.count("--push_to_hub ORG/NAME")


@pytest.mark.soak
def test_upload_and_load(exported: Path, trained: Path, tmp_path: Path, standin: tuple[str, Path]) -> None:
    url, root = standin
    ours = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    env = ours | {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    export = ["export", "--run_name=first", f"--trainer.default_root_dir={trained.parent}"]

    def push(name: str, token: str | None) -> subprocess.CompletedProcess[str]:
        options = [f"--output={tmp_path / name}", f"--push_to_hub=user/{name}", "--private"]
        return run_cli(*export, *options, env=env | ({"HF_TOKEN": token} if token else {}))

    for name, token in (("no-token", None), ("wrong-token", "wrong")):
        refused = push(name, token)
        assert refused.returncode == 2 and "Traceback" not in refused.stderr
        assert f"cannot upload to user/{name}: " in refused.stderr and "HF_TOKEN" in refused.stderr
        assert (tmp_path / name / "adapter_config.json").exists(), "the folder is kept"
    done = push("rte", "hf_right")
    assert done.returncode == 0, done.stderr
    assert f"uploaded to {url}/user/rte" in done.stdout
    assert 'load_adapter(model, "user/rte")' in (root / "models/user/rte/README.md").read_text()
    code = f"""
from transformers import AutoModelForSeq2SeqLM
from lit_compacter import load_adapter
from lit_compacter.adapters.manager import AdapterManager
model = AutoModelForSeq2SeqLM.from_pretrained({str(TINY)!r})
load_adapter(model, "user/rte", token="hf_right")
print(sorted(AdapterManager.of(model).state("default"))[0])
try:
    load_adapter(model, "user/other", "other")
except ValueError as error:
    print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "decoder.block.0" in result.stdout
    assert f"cannot load the model user/other: {url} has no model of this name, or it is private" in result.stdout

    (root / "models/user/taken").mkdir()
    (root / "models/user/taken/model.safetensors").write_bytes(b"x")
    taken = push("taken", "hf_right")
    assert taken.returncode == 2 and "user/taken holds other files, such as model.safetensors" in taken.stderr
