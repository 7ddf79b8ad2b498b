"""The warm-up as steps and as a share of the run."""

import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from transformers import TrainingArguments

from lit_compacter.methods import LayerNorms
from lit_compacter.module import T5Module
from lit_compacter.schedule import get_warmup_steps, warn_if_too_long


@pytest.mark.parametrize("warmup", [0, 1, 7, 500, 0.0, 0.06, 0.07, 1 / 3, 0.999, 1e-9])
@pytest.mark.parametrize("steps", [1, 3, 100, 6_240])
def test_a_share_is_that_of_transformers(warmup: float, steps: int) -> None:
    arguments = SimpleNamespace(warmup_steps=warmup)
    assert get_warmup_steps(warmup, steps) == TrainingArguments.get_warmup_steps(arguments, steps)  # type: ignore[arg-type]


@pytest.mark.parametrize(("warmup", "peak"), [(0, 0), (0.06, 3), (4, 4)])
def test_the_learning_rate_follows(warmup: float, peak: int) -> None:
    """Linear from 0 to the peak and from there to 0, over a run of 50 optimizer steps."""
    module = T5Module(LayerNorms(), learning_rate=0.01, warmup_steps=warmup)
    module.model = torch.nn.Linear(1, 1)  # type: ignore[assignment]
    trainer = Trainer(accelerator="cpu", max_epochs=-1, max_steps=50, logger=False, enable_checkpointing=False)
    module.trainer = trainer
    made: Any = module.configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(51):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    expected = [0.01 * (i / peak if i < peak else (50 - i) / (50 - peak)) for i in range(51)]
    assert rates == pytest.approx(expected)


def test_a_warmup_that_fills_the_run() -> None:
    says = (
        r"has 500 optimizer steps, and this run has 60: the learning rate only "
        r"rises, to 0\.000354 at the last step, and never reaches 0\.003\. .*--model\.warmup_steps 0\.06, .*small"
    )
    with pytest.warns(UserWarning, match=says):
        warn_if_too_long(500, 60, 3e-3)
    with pytest.warns(UserWarning, match="has 60 optimizer steps, and this run has 60"):
        warn_if_too_long(60, 60, 3e-3)
    with warnings.catch_warnings(action="error"):
        warn_if_too_long(59, 60, 3e-3)
