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

# Mode → options of the command line.
MODES = {
    "fp32": {},
    "bf16-mixed": {"trainer.precision": "bf16-mixed"},
    "bf16 backbone": {"model.backbone_dtype": "bfloat16"},
}
PROBE = "probe"


def make_module(size: str, mode: str = "fp32", method: Method | None = None, **given: Any) -> T5Module:
    """A module whose model is built as for training, with random weights.

    Args:
        size: A key of `SIZES`.
        mode: A key of `MODES`.
        method: Default: Compacter.
        **given: Further options of the module.
    """
    options: dict[str, Any] = {
        name.removeprefix("model."): value for name, value in MODES[mode].items() if name.startswith("model.")
    }
    with TemporaryDirectory() as folder:
        t5_config(size).save_pretrained(folder)
        module = T5Module(method or Compacter(), model_name=folder, pretrained=False, **options | given)
        module.configure_model()
    return module


def cli_options(mode: str) -> list[str]:
    """The options of the command line for a mode."""
    return [f"--{name}={value}" for name, value in MODES[mode].items()]


def is_autocast(mode: str) -> bool:
    """Whether steps run under bf16 autocast."""
    return mode != "fp32"


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
