"""Loggers of the user's own: they know the run's name, and each run is a run of its own in them."""

import importlib.util
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_compacter.cli.main import main
from tests.command_line import command, error, only_folder

pytestmark = pytest.mark.usefixtures("_project_root")

STEPS = ["--trainer.log_every_n_steps=1", "--model.warmup_steps=1"]
METRICS = {"train/loss", "train/learning_rate", "val/accuracy", "val/score", "val/invalid"}
HYPERPARAMETERS = {"task": "rte", "method": "Compacter", "learning_rate": 0.01, "trainable_parameters": 6176}


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs {package}, which is optional")


def test_placeholders(tmp_path: Path) -> None:
    """In a list of loggers, for a run that chooses its own name."""
    loggers = [
        {"class_path": f"{kind}Logger", "init_args": {"save_dir": "{run_dir}/own", "name": kind + "-{run_name}"}}
        for kind in ("CSV", "TensorBoard")
    ]
    main(command("fit", tmp_path, f"--trainer.logger={json.dumps(loggers)}", *STEPS))
    run = only_folder(tmp_path)
    assert (run / f"own/CSV-{run.name}/version_0/metrics.csv").exists()
    assert list((run / f"own/TensorBoard-{run.name}").rglob("events.*"))
    kept = yaml.safe_load((run / "config.yaml").read_text())["trainer"]["logger"]
    assert [logger["init_args"]["save_dir"] for logger in kept] == ["{run_dir}/own"] * 2, "to repeat it under any name"


def test_a_dry_run_makes_no_loggers(tmp_path: Path) -> None:
    logger = {"class_path": "CSVLogger", "init_args": {"save_dir": str(tmp_path / "{run_name}")}}
    main(command("fit", tmp_path, f"--trainer.logger={json.dumps(logger)}", "--trainer.fast_dev_run=true"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["comet", "mlflow", "wandb"])
def test_a_library_that_is_not_installed(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("comet_ml" if name == "comet" else name):
        pytest.skip(f"{name} is installed")
    assert f"pip install -U '{name}" in error(capsys, *command("fit", tmp_path, f"--config=loggers/{name}"))
    assert not list(tmp_path.iterdir())


@needs("wandb")
def test_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of one process, which are two runs of W&B."""
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    runs: list[Any] = []
    summaries: list[dict[str, Any]] = []
    init, finish = wandb.init, wandb.finish

    def keep_run(**options: Any) -> Any:
        runs.append(init(**options))
        return runs[-1]

    def keep_summary(exit_code: int) -> None:
        summaries.append(dict(runs[-1].summary))  # of a finished run it cannot be read
        finish(exit_code)

    monkeypatch.setattr("wandb.init", keep_run)
    monkeypatch.setattr("wandb.finish", keep_summary)
    for name in ("one", "two"):
        main(command("fit", tmp_path, "--config=loggers/wandb", f"--run_name={name}", *STEPS))
        run = runs[-1]
        assert (run.name, run.project) == (name, "lit-compacter") and wandb.run is None
        assert dict(run.config).items() >= HYPERPARAMETERS.items() and summaries[-1].keys() >= METRICS
        assert list((tmp_path / name / "wandb").rglob("*.wandb"))
    assert runs[0].id != runs[1].id


@needs("wandb")
def test_wandb_without_an_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import wandb

    wandb.teardown()  # an earlier test's settings
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "online")
    line = error(capsys, *command("fit", tmp_path, "--config=loggers/wandb", "--run_name=run"))
    assert line.startswith("error: trainer.logger: wandb: ") and "API key" in line


@needs("mlflow")
def test_mlflow(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    logger = [
        "--config=loggers/mlflow",
        f"--trainer.logger.tracking_uri={uri}",
        "--trainer.logger.experiment_name=mine",
    ]
    main(command("fit", tmp_path, "--run_name=run", *logger, *STEPS))
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("mine")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert run.data.params.items() >= {name: str(value) for name, value in HYPERPARAMETERS.items()}.items()
    assert run.data.metrics.keys() >= METRICS
    assert [point.step for point in client.get_metric_history(run.info.run_id, "train/loss")] == [0, 1]

    more = [*logger, f"--trainer.logger.run_id={run.info.run_id}", *STEPS, "--trainer.max_epochs=2"]
    main(command("fit", tmp_path, "--run_name=run", "--ckpt_path=last", *more))
    (resumed,) = client.search_runs([experiment.experiment_id])
    assert [p.step for p in client.get_metric_history(resumed.info.run_id, "train/loss")] == [0, 1, 2, 3]


@needs("comet_ml")
def test_comet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMET_START_ONLINE", "false")
    monkeypatch.setenv("COMET_OFFLINE_DIRECTORY", str(tmp_path / "comet"))
    main(command("fit", tmp_path, "--config=loggers/comet", "--run_name=run", *STEPS))
    with zipfile.ZipFile(only_file(tmp_path / "comet", "*.zip")) as archive:
        messages = [json.loads(line)["payload"] for line in archive.read("messages.json").decode().splitlines()]
    assert {"Name": "run"} in [{message["key"]: message["value"]} for message in messages if "key" in message]
    given = {p["paramName"]: p["paramValue"] for message in messages if (p := message.get("param"))}
    assert given.items() >= HYPERPARAMETERS.items()
    assert {message["metric"]["metricName"] for message in messages if "metric" in message} >= METRICS


def only_file(folder: Path, pattern: str) -> Path:
    (file,) = folder.rglob(pattern)
    return file
