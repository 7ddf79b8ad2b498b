"""The package's model as its command line builds and trains it: the one place where benchmarks construct it."""

from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import T5ForConditionalGeneration

from benchmarks.sizes import t5_config
from lit_compacter import add_adapter, delete_adapter
from lit_compacter.adapters.config import AdapterConfig
from lit_compacter.adapters.manager import AdapterManager
from lit_compacter.backbones.loading import load_backbone
from lit_compacter.data.collate import IGNORE_INDEX
from lit_compacter.methods import Compacter, Method
from lit_compacter.module import T5Module

# Mode → `trainer.precision`, and whether frozen weights are held in bfloat16.
MODES = {"fp32": ("32-true", False), "bf16-mixed": ("bf16-mixed", False), "bf16 backbone": ("bf16-mixed", True)}
PROBE = "probe"


def make_module(size: str, mode: str = "fp32", method: Method | None = None) -> T5Module:
    """A module whose model is built as for training, with random weights.

    Args:
        size: A key of `SIZES`.
        mode: A key of `MODES`.
        method: Default: Compacter.
    """
    with TemporaryDirectory() as folder:
        t5_config(size).save_pretrained(folder)
        module = T5Module(method or Compacter(), folder, pretrained=False)
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


def make_with_adapters(size: str, count: int) -> T5ForConditionalGeneration:
    """A model that trains one Compacter and holds `count - 1` others."""
    with TemporaryDirectory() as folder:
        t5_config(size).save_pretrained(folder)
        model = load_backbone(folder, pretrained=False)
    if count > 1:
        add_random_adapters(model, count - 1, Compacter())
    add_adapter(model, Compacter(), "trained")
    return model


def training_loss(model: T5ForConditionalGeneration, forward: Callable[..., Any], batch: dict[str, Tensor]) -> Tensor:
    """The loss of `T5Module.training_step`, divided by the target tokens, without logging and communication.

    Args:
        model: The model.
        forward: `T5Module.training_forward`, or the model's own.
        batch: Tokens.
    """
    labels = batch["labels"]
    logits = forward(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        decoder_input_ids=model.prepare_decoder_input_ids_from_labels(labels),
        use_cache=False,
    ).logits
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE_INDEX, reduction="sum")
    return loss / (labels != IGNORE_INDEX).sum()


def add_random_adapters(model: T5ForConditionalGeneration, count: int, method: Compacter) -> None:
    """Add adapters named 0, 1, …, which are not trained, with random values."""
    add_adapter(model, method, PROBE)
    manager = AdapterManager.of(model)
    state = manager.state(PROBE)
    for number in range(count):
        values = {name: tensor + 0.05 * torch.randn_like(tensor) for name, tensor in state.items()}
        manager.add(str(number), AdapterConfig(method), values, is_trainable=False)
    delete_adapter(model, PROBE)
