"""docs/support.md: what of Lightning works, by its effects, and what is refused, in one line."""

import csv
import inspect
import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import pytorch_lightning.callbacks
import torch
import yaml
from pytorch_lightning import Trainer

from lit_compacter.checkpoints.io import read_checkpoint
from lit_compacter.cli.main import main
from lit_compacter.cli.trainer import REFUSED
from tests.command_line import command, error, losses, send_signal
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("_project_root")

_, CALLBACKS, OPTIONS = (
    dict(re.findall(r"^\| `(\w+)` \| (works|refused) \| ", section, re.MULTILINE))
    for section in (ROOT / "docs/support.md").read_text().split("\n## ")
)
REFUSED_CALLBACKS = [name for name, status in CALLBACKS.items() if status == "refused"]
REFUSED_OPTIONS = [name for name, status in OPTIONS.items() if status == "refused"]
REQUIRED: dict[str, dict[str, Any]] = {
    "ModelPruning": {"pruning_fn": "l1_unstructured"},
    "OnExceptionCheckpoint": {"dirpath": "nowhere"},
    "StochasticWeightAveraging": {"swa_lrs": 0.01},
}

Refusal: TypeAlias = Callable[..., str]


def callback(name: str, **options: Any) -> str:
    return "--trainer.callbacks+=" + json.dumps({"class_path": name, "init_args": options})


def warned(warnings: pytest.WarningsRecorder) -> list[str]:
    """What users see of the warnings."""
    return [str(warning.message) for warning in warnings if issubclass(warning.category, UserWarning)]


@pytest.fixture
def refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> Refusal:
    """The error of a fit with more options that says nothing else, warnings included, and leaves nothing."""

    def fit(*more: str) -> str:
        line = error(capsys, *command("fit", tmp_path, *more))
        assert not warned(recwarn)
        assert not list(tmp_path.iterdir())
        return line

    return fit


def logged(folder: Path) -> dict[str, list[str]]:
    """Column of metrics.csv → its values, in order."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows if row[name]] for name in rows[0]}


def test_every_name_is_in_the_tables() -> None:
    assert sorted(CALLBACKS) == sorted(pytorch_lightning.callbacks.__all__)
    assert sorted(OPTIONS) == sorted(inspect.signature(Trainer).parameters)
    refused = [name for name in CALLBACKS if issubclass(getattr(pytorch_lightning.callbacks, name), tuple(REFUSED))]
    assert refused == REFUSED_CALLBACKS


@pytest.mark.parametrize("name", REFUSED_CALLBACKS)
def test_refused_callbacks(name: str, refusal: Refusal) -> None:
    message = refusal(callback(name, **REQUIRED.get(name, {})))
    assert message.startswith(f"error: trainer.callbacks: {name} is not supported: it ")


@pytest.mark.parametrize("name", REFUSED_OPTIONS)
def test_refused_options(name: str, refusal: Refusal) -> None:
    value = {"overfit_batches": "2", "barebones": "true", "model_registry": "name"}[name]
    assert f"trainer.{name} " in refusal(f"--trainer.{name}={value}")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--trainer.plugins=AsyncCheckpointIO", "AsyncCheckpointIO is not supported: it would replace the writer"),
        ("--trainer.plugins=HalfPrecision", "trainer.precision 16-true keeps trained tensors in fewer than 32 bits"),
        (
            callback("ModelCheckpoint", save_on_exception=True),
            "with save_on_exception is not supported",
        ),
    ],
)
def test_refused_values(option: str, message: str, refusal: Refusal) -> None:
    assert message in refusal(option)


def test_callbacks_have_their_effects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of one fit with all that can be combined, a resume from the user's own checkpoint, and the printed command."""
    own, length = tmp_path / "own", ["--trainer.limit_train_batches=4", "--trainer.max_epochs=2"]
    length += ["--trainer.log_every_n_steps=1", "--trainer.limit_val_batches=1"]
    callbacks = [
        callback("DeviceStatsMonitor"),
        callback("GradientAccumulationScheduler", scheduling={"0": 1, "1": 2}),
        callback("LambdaCallback", on_train_start="tests.user_callbacks.started"),
        callback("LearningRateMonitor", logging_interval="step"),
        callback("ModelCheckpoint", dirpath=str(own), filename="{step}", every_n_train_steps=1, save_top_k=-1),
        callback("ModelSummary", max_depth=1),
        callback("RichModelSummary"),
        callback("ThroughputMonitor", batch_size_fn="tests.user_callbacks.batch_size"),
        callback("Timer", duration="00:01:00:00"),
    ]
    main(command("fit", tmp_path, "--run_name=run", *length, *callbacks))
    printed = capsys.readouterr().out
    run, columns = tmp_path / "run", logged(tmp_path / "run/logs/fit/csv/version_0")
    assert (run / "started").exists()
    assert len(columns["train/loss"]) == 6, "4 batches of one step each, then 4 of two"
    rates = [{round(float(rate), 8) for rate in columns[name]} for name in ("lr-AdamW", "train/learning_rate")]
    assert rates[0] == rates[1]
    assert columns["DeviceStatsMonitor.on_train_batch_end/cpu_percent"]
    assert columns["train/samples"][-1] == str(8 * 32)
    state = read_checkpoint(run / "checkpoints/last.ckpt")
    assert any(name.startswith("Timer") for name in state["callbacks"])
    assert sorted(path.name for path in own.iterdir()) == [f"step={step}.ckpt" for step in range(1, 7)]
    assert read_checkpoint(own / "step=2.ckpt")["state_dict"].keys() == state["state_dict"].keys()

    main(command("fit", tmp_path, "--run_name=resumed", *length, *callbacks, f"--ckpt_path={own / 'step=2.ckpt'}"))
    whole = losses(run)
    assert losses(tmp_path / "resumed") == {step: whole[step] for step in range(2, 6)}

    (words,) = re.findall(r"(?:python main.py|lit-compacter) (test .*)", printed)
    assert main(words.split()) is not None


def test_early_stopping_stops(tmp_path: Path) -> None:
    stop = callback("EarlyStopping", monitor="val/score", mode="max", patience=1)
    still = ["--model.learning_rate=1e-9", "--trainer.max_epochs=5", "--trainer.log_every_n_steps=1"]
    main(command("fit", tmp_path, "--run_name=run", stop, *still))
    assert len(losses(tmp_path / "run")) == 4, "2 epochs of 2 steps"


def test_a_prediction_writer_gets_the_rows(trained: Path) -> None:
    writer = callback("tests.user_callbacks.Writer", write_interval="batch_and_epoch")
    main(command("predict", trained.parent, "--run_name=first", "--ckpt_path=best", writer))
    batches, epoch = json.loads((trained / "writer.json").read_text())
    assert batches == epoch and len(batches) == 2
    lines = [json.loads(line) for line in (trained / "predictions.jsonl").read_text().splitlines()]
    given = sorted((row, record) for rows, records in batches for row, record in zip(rows, records, strict=True))
    assert [record for _, record in given] == [{"row": row} | line for (row, _), line in zip(given, lines, strict=True)]
    assert [row for row, _ in given] == [line["idx"] for line in lines], "the demo numbers its rows from 0"


def test_options_have_their_effects(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    options = {
        "benchmark": True,
        "callbacks": [{"class_path": "tests.user_callbacks.Probe"}],
        "detect_anomaly": True,
        "deterministic": True,
        "enable_autolog_hparams": False,
        "enable_model_summary": True,
        "gradient_clip_algorithm": "value",
        "gradient_clip_val": 1e-3,
        "log_every_n_steps": 1,
        "logger": [
            {"class_path": f"{kind}Logger", "init_args": {"save_dir": str(tmp_path / kind)}}
            for kind in ("CSV", "TensorBoard")
        ],
        "num_sanity_val_steps": 1,
        "reload_dataloaders_every_n_epochs": 1,
        "sync_batchnorm": True,
    }
    (tmp_path / "options.yaml").write_text(yaml.safe_dump({"trainer": options}))
    main(command("fit", tmp_path, "--run_name=run", f"--config={tmp_path / 'options.yaml'}"))
    seen = json.loads((tmp_path / "run/probe.json").read_text())
    assert seen["deterministic"] and seen["benchmark"] and seen["anomaly"]
    assert seen["gradients"] == pytest.approx([1e-3] * len(seen["gradients"])) and seen["gradients"]
    assert not torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.benchmark
    assert {"train/loss", "val/score"} <= logged(tmp_path / "CSV/lightning_logs/version_0").keys()
    assert list((tmp_path / "TensorBoard").rglob("events.*")) and not (tmp_path / "run/logs/fit").exists()
    assert all(yaml.safe_load(path.read_text()) == {} for path in tmp_path.rglob("hparams.yaml"))

    last = f"--ckpt_path={tmp_path / 'run/checkpoints/last.ckpt'}"
    for value in (True, False):
        mode = f"--trainer.inference_mode={str(value).lower()}"
        main(command("validate", tmp_path, "--run_name=v", last, mode, callback("tests.user_callbacks.Probe")))
        assert json.loads((tmp_path / "v/probe.json").read_text())["inference"] is value
    assert not [message for message in warned(recwarn) if "args parameter" in message]


@pytest.mark.parametrize("option", ["--trainer.limit_val_batches=0", "--trainer.check_val_every_n_epoch=2"])
def test_without_a_validation(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    main(command("fit", tmp_path, "--run_name=run", "--model.warmup_steps=0", option))
    assert not warned(recwarn)
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["last.ckpt"]
    (words,) = re.findall(r"(?:python main.py|lit-compacter) (test .* --ckpt_path last)\n", capsys.readouterr().out)
    assert "test/score" in (main(words.split()) or {})


def test_double_precision_resumes_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--trainer.precision=64-true", "--trainer.limit_train_batches=3", "--trainer.log_every_n_steps=1"]
    main(command("fit", tmp_path, "--run_name=whole", *options))
    send_signal(monkeypatch, "training_step", signal.SIGUSR1)
    with pytest.raises(SystemExit):
        main(command("fit", tmp_path, "--run_name=run", *options))
    monkeypatch.undo()
    assert read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["global_step"] == 1
    main(command("fit", tmp_path, "--run_name=run", "--ckpt_path=last", *options))
    ends = [read_checkpoint(tmp_path / name / "checkpoints/last.ckpt")["state_dict"] for name in ("whole", "run")]
    assert all(ends[0][name].dtype == torch.float64 for name in ends[0])
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
