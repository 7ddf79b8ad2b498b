"""The course of a training is kept and drawn whatever the loggers, which are told what the run is made of."""

from pathlib import Path

import pytest
import yaml

from lit_compacter.cli.main import main
from lit_compacter.results.learning_curve import draw_learning_curve, read_history
from tests.command_line import command

pytestmark = pytest.mark.usefixtures("_project_root")

STEPS = ["--trainer.log_every_n_steps=1", "--model.warmup_steps=1", "--trainer.limit_train_batches=3"]


@pytest.mark.parametrize("logger", ["false", "{class_path: CSVLogger, init_args: {save_dir: ROOT}}"])
def test_any_logger(logger: str, tmp_path: Path) -> None:
    logger = logger.replace("ROOT", str(tmp_path))
    main(command("fit", tmp_path, "--run_name=run", f"--trainer.logger={logger}", *STEPS))
    folder = tmp_path / "run"
    series = read_history(folder)
    assert series["train/loss"].keys() == {1, 2, 3} and all(loss > 0 for loss in series["train/loss"].values())
    assert series["train/learning_rate"] == pytest.approx({1: 0.0, 2: 0.01, 3: 0.005})
    assert series["val/score"].keys() == {3}
    if logger != "false":
        (file,) = tmp_path.rglob("metrics.csv")
        assert {"train/loss", "train/learning_rate", "val/score"} <= set(file.read_text().splitlines()[0].split(","))
    drawn = (folder / "learning_curve.png").read_bytes()
    (folder / "logs/history.jsonl").unlink()
    draw_learning_curve(folder)
    assert drawn.startswith(b"\x89PNG") and len(drawn) > 1.1 * (folder / "learning_curve.png").stat().st_size


def test_a_resumed_run_goes_on_with_its_history(tmp_path: Path) -> None:
    for epochs in (1, 2):
        main(command("fit", tmp_path, "--run_name=run", "--ckpt_path=last", *STEPS, f"--trainer.max_epochs={epochs}"))
    series = read_history(tmp_path / "run")
    assert list(series["train/loss"]) == [1, 2, 3, 4, 5, 6] and list(series["val/score"]) == [3, 6]


def test_loggers_get_the_hyperparameters(first_run: tuple[Path, str]) -> None:
    logged = yaml.safe_load((first_run[0] / "logs/fit/csv/version_0/hparams.yaml").read_text())
    expected = {"task": "rte", "method": "Compacter", "seed": 42, "batch_size": 32, "trainable_parameters": 6176}
    assert logged.items() >= expected.items() and logged["method_options"]["reduction_factor"] == 8
