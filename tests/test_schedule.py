"""A resumed run whose number of optimizer steps has changed continues at its share of the schedule."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytorch_lightning.callbacks import GradientAccumulationScheduler

from lit_compacter.cli.main import main
from lit_compacter.results.learning_curve import read_history
from lit_compacter.schedule import num_optimizer_steps
from tests.command_line import command
from tests.conftest import ROOT


def trainer(**options: Any) -> Any:
    defaults = {"max_epochs": 4, "max_steps": -1, "num_training_batches": 10, "accumulate_grad_batches": 1}
    return SimpleNamespace(**({"callbacks": []} | defaults | options))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 40),
        ({"accumulate_grad_batches": 3}, 16),  # 4 an epoch: Lightning steps at an epoch's last batch
        ({"max_steps": 25}, 25),
        ({"max_steps": 60}, 40),
        ({"max_epochs": -1, "max_steps": 25}, 25),
        ({"max_epochs": -1}, float("inf")),
        ({"callbacks": [GradientAccumulationScheduler({0: 1, 2: 5})]}, 24),
    ],
)
def test_steps_of_a_run(options: dict[str, Any], expected: float) -> None:
    assert num_optimizer_steps(trainer(**options)) == expected


def test_steps_that_are_left() -> None:
    assert num_optimizer_steps(trainer(accumulate_grad_batches=3), epoch=2, batches=6, steps=10) == 6
    assert num_optimizer_steps(trainer(max_steps=25), epoch=1, steps=10) == 15


def learning_rates(folder: Path) -> list[float]:
    series = read_history(folder)["train/learning_rate"]
    return [series[step] for step in sorted(series)]


OPTIONS = ["--run_name=run", "--data.max_train_samples=64", "--data.batch_size=8", "--trainer.limit_train_batches=1.0"]
OPTIONS += ["--trainer.limit_val_batches=0", "--model.warmup_steps=0", "--trainer.log_every_n_steps=1"]
OPTIONS += ["--trainer.max_epochs=4"]
ACCUMULATION = "{class_path: GradientAccumulationScheduler, init_args: {scheduling: {0: 1, 2: 2}}}"
CHANGES = [
    pytest.param("--data.batch_size=16", 8, id="batch_size"),
    pytest.param("--trainer.accumulate_grad_batches=2", 8, id="accumulation"),
    pytest.param(f"--trainer.callbacks+={ACCUMULATION}", 8, id="a callback"),
    pytest.param("--trainer.max_epochs=6", 32, id="max_epochs"),
    pytest.param("--trainer.max_steps=24", 8, id="max_steps"),
    pytest.param("--trainer.limit_train_batches=4", 8, id="limit_train_batches"),
]


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after 16 of its 32 optimizer steps."""
    root = tmp_path_factory.mktemp("half")
    stop = "--trainer.callbacks+={class_path: tests.user_callbacks.StopAfter, init_args: {epochs: 2}}"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        main(command("fit", root, *OPTIONS, stop))
    return root / "run"


@pytest.mark.usefixtures("_project_root")
@pytest.mark.parametrize(("change", "left"), CHANGES)
def test_a_resumed_run_decays_to_its_end(change: str, left: int, half: Path, tmp_path: Path) -> None:
    before = learning_rates(half)
    assert len(before) == 16 and before[-1] == pytest.approx(0.01 * 17 / 32)
    shutil.copytree(half, tmp_path / "run")
    with pytest.warns(UserWarning, match=f"with {left} of .* optimizer steps left"):
        main(command("fit", tmp_path, *OPTIONS, change, "--ckpt_path=last"))
    after = learning_rates(tmp_path / "run")[len(before) :]
    total = {"--trainer.max_epochs=6": 48, "--trainer.max_steps=24": 24, CHANGES[2].values[0]: 24}.get(change, 16)
    assert after == pytest.approx([0.01 * (left - step) / total for step in range(left)])
