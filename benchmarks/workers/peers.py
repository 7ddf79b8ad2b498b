"""What peers make of a stock T5 with random weights. Runs in their environments: imports nothing of this package."""

from typing import Any

import torch
from transformers import T5ForConditionalGeneration

from benchmarks.sizes import t5_config

KINDS = ("floor", "full", "lora", "adapterhub", "opendelta")


def make_peer(kind: str, size: str) -> Any:
    """A model to train; `requires_grad` marks its trainable parameters.

    Args:
        kind: floor (only layer norms are trained, nothing is added: what no method with a frozen backbone can fall
            below), full (fine-tuning), lora (PEFT), adapterhub or opendelta (their Compacter, and layer norms).
        size: A key of `SIZES`.
    """
    model: Any = T5ForConditionalGeneration(t5_config(size))
    if kind == "lora":
        from peft import LoraConfig, get_peft_model

        return get_peft_model(model, LoraConfig(task_type="SEQ_2_SEQ_LM", r=8, target_modules=["q", "v"]))
    if kind == "adapterhub":
        import adapters

        adapters.init(model)
        model.add_adapter("task", config=adapters.CompacterConfig())
        model.train_adapter("task")
        model.accepts_loss_kwargs = False  # else Trainer passes num_items_in_batch, which its T5 does not take
    elif kind == "opendelta":
        from opendelta import CompacterModel

        delta = CompacterModel(backbone_model=model, reduction_factor=32, hypercomplex_division=4)
        delta.freeze_module(exclude=["deltas"], set_state_dict=False)
    elif kind == "floor":
        model.requires_grad_(False)
    if kind != "full":
        train_layer_norms(model)
    return model


def train_layer_norms(model: torch.nn.Module) -> None:
    """Train the backbone's layer norms, as the paper does with every kind of adapter."""
    for name, parameter in model.named_parameters():
        if "layer_norm" in name and "adapter" not in name:
            parameter.requires_grad_(True)
