"""The command line end to end on the embedded default: in real processes where that matters, else in this one."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from lit_compacter import checkpoint
from lit_compacter.cli import main
from lit_compacter.run_folder import RUN_NAME
from tests.conftest import ROOT, TINY, run_cli, shared

QUICK = ["--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
QUICK += ["--trainer.limit_val_batches=2", "--trainer.limit_test_batches=2", "--trainer.limit_predict_batches=2"]
QUICK += ["--trainer.enable_progress_bar=false"]


@pytest.fixture(autouse=True)
def _project_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["main.py"])
    monkeypatch.delenv(RUN_NAME, raising=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of one quick fit."""
    root = tmp_path_factory.mktemp("runs")
    result = run_cli("fit", "--config", "demo.yaml", *QUICK, f"--trainer.default_root_dir={root}", "--run_name=first")
    assert result.returncode == 0, result.stderr
    assert "parameters trained (" in result.stdout and "layer norms" in result.stdout and "shared rule" in result.stdout
    assert "test it: python main.py test --config … --ckpt_path" in result.stdout
    return root / "first"


def command(verb: str, root: Path, *more: str) -> list[str]:
    return [verb, "--config", "demo.yaml", *QUICK, f"--trainer.default_root_dir={root}", *more]


def only_folder(root: Path) -> Path:
    (folder,) = root.iterdir()
    return folder


def error(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """The one line that a user's mistake gives."""
    with pytest.raises(SystemExit) as stopped:
        main(list(args))
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert not any(line.startswith("Traceback") for line in lines)
    assert sum(line.startswith("error: ") for line in lines) == 1 and lines[-1].startswith("error: ")
    return lines[-1]


# What a run leaves


def test_fit_leaves_a_complete_run_folder(trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} == {
        "config.yaml",
        "checkpoints",
        "logs",
        "metrics.json",
        "learning_curve.png",
    }
    assert {path.name for path in (trained / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert (trained / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert (trained / "logs/csv/version_0/metrics.csv").exists()
    assert list((trained / "logs/tensorboard/version_0").glob("events.*"))
    metrics = json.loads((trained / "metrics.json").read_text())
    assert {"val/accuracy", "val/score", "val/invalid", "val/best_score", "train/loss"} == metrics.keys()
    assert all(0 <= metrics[name] <= 1 for name in metrics if name.startswith("val/"))
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["model"]["method"]["init_args"]["reduction"] == 8


def test_the_resolved_config_repeats_the_run(trained: Path, tmp_path: Path) -> None:
    """The config that a run leaves, given back with nothing beside it, trains to the same tensors."""
    main(
        ["fit", "--config", str(trained / "config.yaml"), f"--trainer.default_root_dir={tmp_path}", "--run_name=again"]
    )
    first, again = (checkpoint.read(folder / "checkpoints/last.ckpt") for folder in (trained, tmp_path / "again"))
    assert all(torch.equal(first["state_dict"][name], again["state_dict"][name]) for name in first["state_dict"])


def test_checkpoint_is_small_and_plain(trained: Path) -> None:
    path = trained / "checkpoints/last.ckpt"
    state = torch.load(path, weights_only=True)
    assert "hyper_parameters" not in state and "datamodule_hyper_parameters" not in state
    assert state["lit_compacter"]["method"] == "Compacter" and state["lit_compacter"]["task"] == "rte"
    assert not any(name.startswith("model.shared") for name in state["state_dict"])
    assert path.stat().st_size < 0.2 * (TINY / "model.safetensors").stat().st_size


@pytest.mark.parametrize("verb", ["validate", "test"])
def test_evaluation_takes_the_method_from_the_checkpoint(verb: str, trained: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    arguments = [verb, "--config", "rte.yaml", "--data.data_dir=data/demo", "--model.model_name=data/tiny-t5", *QUICK]
    ckpt = trained / "checkpoints/best.ckpt"
    main([*arguments, f"--trainer.default_root_dir={tmp_path}", f"--ckpt_path={ckpt}"])
    folder = only_folder(tmp_path)
    prefix = {"validate": "val", "test": "test"}[verb]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {f"{prefix}/accuracy", f"{prefix}/score", f"{prefix}/invalid"} == metrics.keys()
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["model"]["method"]["init_args"]["reduction"] == 8
    assert before == {path: path.stat().st_mtime_ns for path in trained.rglob("*")}, "the checkpoint's run is untouched"


def test_predict_writes_every_row_in_order(trained: Path, tmp_path: Path) -> None:
    whole = [arg for arg in command("predict", tmp_path) if "limit_predict" not in arg]
    main([*whole, f"--ckpt_path={trained / 'checkpoints/best.ckpt'}"])
    folder = only_folder(tmp_path)
    records = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert [record["idx"] for record in records] == list(range(200))
    assert records[0]["source"].startswith("sentence1: ") and "prediction" in records[0] and "target" not in records[0]
    assert json.loads((folder / "metrics.json").read_text())["predict/rows"] == 200


def test_best_and_last_by_run_name(trained: Path) -> None:
    main(command("test", trained.parent, "--run_name=first", "--ckpt_path=best"))
    metrics = json.loads((trained / "metrics.json").read_text())
    assert "test/score" in metrics and "val/best_score" in metrics, "metrics of earlier verbs stay"
    assert (trained / "config-2.yaml").exists() and (trained / "config.yaml").exists()


def test_new_names_never_meet(tmp_path: Path, trained: Path) -> None:
    for _ in range(2):
        main(command("validate", tmp_path, f"--ckpt_path={trained / 'checkpoints/last.ckpt'}"))
    assert len(list(tmp_path.iterdir())) == 2


# What a user is told


def test_print_config_and_help() -> None:
    printed = run_cli(
        "fit", "--config", "rte.yaml", "--model.method.phm_dim=8", "--data.batch_size=32", "--print_config"
    )
    config = yaml.safe_load(printed.stdout)
    assert config["model"]["method"]["init_args"]["phm_dim"] == 8 and config["data"]["batch_size"] == 32
    text = run_cli("fit", "--help").stdout
    for words in (
        "Longest input in tokens",
        "Peak learning rate of AdamW",
        "Folder of this run",
        "--model.method.help",
    ):
        assert words in " ".join(text.split())
    text = " ".join(run_cli("fit", "--model.method.help", "Compacter").stdout.split())
    assert "the number of Kronecker terms" in text and "Model dimension divided by the bottleneck" in text
    assert "weights_only" not in run_cli("fit", "--help").stdout


MISTAKES = {
    "unknown task": (["--data.task=rtee"], "unknown task 'rtee' (data.task); expected one of rte,"),
    "unknown key": (["--data.batchsize=3"], "did you mean 'data.batch_size'?"),
    "abbreviated key": (["--trainer.max_epoch=3"], "did you mean 'trainer.max_epochs'?"),
    "unknown method option": (["--model.method.phm_dims=2"], "did you mean 'phm_dim'?"),
    "unknown method": (["--model.method=Compactor"], "the methods are Compacter, Adapter"),
    "another method's option": (
        ["--config=methods/layer_norms.yaml", "--model.method.rank=2"],
        "Option 'rank' is not accepted; it is an option of Compacter",
    ),
    "missing config": (["--config=nosuch.yaml"], "no config file 'nosuch.yaml'; in "),
    "no data files": (["--data.data_dir=/nowhere"], "no file /nowhere/RTE/train.tsv"),
    "phm_dim does not divide": (["--model.method.phm_dim=5"], "phm_dim 5 does not divide both the model dimension 128"),
    "batch_size -1": (["--data.batch_size=-1"], '"data.batch_size": Not of type PositiveInt: -1'),
    "batch_size 0": (["--data.batch_size=0"], '"data.batch_size": Not of type PositiveInt: 0'),
    "max_source_length 0": (["--data.max_source_length=0"], '"data.max_source_length": Not of type PositiveInt: 0'),
    "no such model": (["--model.model_name=/nowhere"], "cannot load a tokenizer from '/nowhere'"),
    "no such checkpoint": (["--ckpt_path=/nowhere.ckpt"], "no checkpoint /nowhere.ckpt"),
    "model hub out of reach": (["--model.model_name=google-t5/t5-base"], "Offline, give a folder"),
    "data hub out of reach": (["--data.data_dir=null"], "--data.data_dir DIR"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_give_one_line_and_leave_nothing(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, message = MISTAKES[case]
    assert message in error(capsys, *command("fit", tmp_path, *arguments))
    assert not list(tmp_path.iterdir()), "no run folder is left behind"


def test_mistakes_in_a_config_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("modle:\n  learning_rate: 1.0\n")
    assert "did you mean 'model.learning_rate'?" in error(capsys, "fit", f"--config={file}")
    file.write_text("data: [rte\n")
    assert f"error: {file}: " in error(capsys, "fit", f"--config={file}")
    assert "methods/compacter.yaml, " in error(capsys, "fit", "--config=nosuch")


def test_a_run_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    message = error(capsys, *command("fit", tmp_path / "file"))
    assert "cannot write the run folder" in message and "choose another --trainer.default_root_dir" in message


def test_evaluation_needs_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "test needs --ckpt_path" in error(capsys, *command("test", tmp_path))


def test_a_second_fit_does_not_overwrite_the_first(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (trained / "checkpoints/best.ckpt").read_bytes()
    message = error(capsys, *command("fit", trained.parent, "--run_name=first"))
    assert "holds checkpoints of an earlier fit" in message
    assert (trained / "checkpoints/best.ckpt").read_bytes() == before


@pytest.mark.parametrize("verb", ["fit", "test"])
def test_another_methods_checkpoint(
    verb: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpt = f"--ckpt_path={trained / 'checkpoints/last.ckpt'}"
    other = error(capsys, *command(verb, tmp_path, "--config=methods/adapter.yaml", ckpt))
    assert "made with method Compacter, this run has method Adapter" in other
    options = error(capsys, *command(verb, tmp_path, "--model.method.phm_dim=8", ckpt))
    assert "made with options phm_dim=4, this run has options phm_dim=8" in options
    backbone = error(capsys, *command(verb, tmp_path, "--model.pretrained=false", ckpt))
    assert "made with backbone weights=" in backbone
    assert not list(tmp_path.iterdir())


def test_a_truncated_checkpoint(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (trained / "checkpoints/last.ckpt").read_bytes()
    half = tmp_path / "half.ckpt"
    half.write_bytes(whole[: len(whole) // 2])
    for verb in ("fit", "test"):
        assert "is not a whole checkpoint" in error(capsys, *command(verb, tmp_path / "runs", f"--ckpt_path={half}"))


def test_a_checkpoint_cannot_choose_what_is_imported(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state: dict[str, Any] = checkpoint.read(trained / "checkpoints/last.ckpt")
    state["lit_compacter"]["method"] = "os.system"
    torch.save(state, tmp_path / "x.ckpt")
    message = error(capsys, *command("test", tmp_path / "runs", f"--ckpt_path={tmp_path / 'x.ckpt'}"))
    assert "was made with method 'os.system'; expected one of Compacter" in message


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = run_cli(*command("fit", tmp_path, "--data.task=rtee", "--debug"))
    assert result.returncode != 0 and "Traceback" in result.stderr
    result = run_cli(*command("fit", tmp_path, "--data.task=rtee"))
    assert result.returncode == 2 and "Traceback" not in result.stderr


# On real data


@pytest.mark.parametrize("task", ["rte", "mrpc", "cola", "superglue-rte"])
def test_real_tasks_on_a_real_vocabulary(task: str, tmp_path: Path) -> None:
    data_dir = shared("data", "superglue" if task.startswith("superglue") else "glue")
    real = ["--config", f"{task}.yaml", f"--model.model_name={shared('t5-mini')}", f"--data.data_dir={data_dir}"]
    real += [*QUICK, "--data.batch_size=16", f"--trainer.default_root_dir={tmp_path}", "--run_name=real"]
    main(["fit", *real])
    main(["test", *real, "--ckpt_path=best"])
    main(["predict", *real, "--ckpt_path=last"])
    metrics = json.loads((tmp_path / "real/metrics.json").read_text())
    assert {"val/score", "test/score", "test/invalid", "predict/rows"} <= metrics.keys()
    shutil.rmtree(tmp_path / "real")
