"""The package's model as its command line builds and trains it: the one place where benchmarks construct it."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.sizes import t5_config
from lit_compacter.data.collate import IGNORE_INDEX
from lit_compacter.methods import Compacter, Method
from lit_compacter.module import T5Module

# Mode → `trainer.precision`, and whether frozen weights are held in bfloat16.
MODES = {"fp32": ("32-true", False), "bf16-mixed": ("bf16-mixed", False), "bf16-backbone": ("bf16-mixed", True)}


def make_module(size: str, mode: str = "fp32", method: Method | None = None, folder: Path | None = None) -> T5Module:
    """A module whose model is built as for training, with random weights.

    Args:
        size: A key of `SIZES`.
        mode: A key of `MODES`.
        method: Default: Compacter.
        folder: The model's folder, if it is to stay.
    """
    with TemporaryDirectory() as temporary:
        name = folder or Path(temporary)
        t5_config(size).save_pretrained(name)
        module = T5Module(method or Compacter(), str(name), pretrained=False)
        module.configure_model()
    hold_frozen_weights(module, mode)
    return module


def hold_frozen_weights(module: T5Module, mode: str) -> None:
    """Hold the frozen weights in the mode's precision."""
    # BACKBONE DTYPE: once T5Module has the option, pass it in `make_module` and `cli_options` instead.
    if MODES[mode][1]:
        for parameter in module.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(torch.bfloat16)


def cli_options(mode: str) -> list[str]:
    """The options of the command line for a mode."""
    return ["--trainer.precision", MODES[mode][0]]


def is_autocast(mode: str) -> bool:
    """Whether steps run under bf16 autocast."""
    return MODES[mode][0] == "bf16-mixed"


def training_loss(module: T5Module, batch: dict[str, Tensor]) -> Tensor:
    """The loss of `T5Module.training_step`, divided by the target tokens, without logging and communication."""
    assert module.model is not None
    labels = batch["labels"]
    logits: Any = module.training_forward(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        decoder_input_ids=module.model.prepare_decoder_input_ids_from_labels(labels),
        use_cache=False,
    ).logits
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE_INDEX, reduction="sum")
    return loss / (labels != IGNORE_INDEX).sum()
