"""Our adapters in the formats of other libraries."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from lit_compacter.adapters.config import AdapterConfig
from lit_compacter.adapters.importers.adapterhub import to_adapterhub
from lit_compacter.adapters.importers.peft import peft_key
from lit_compacter.errors import UserError
from lit_compacter.methods import Adapter, Peft

ADAPTER_NAME = "adapter"  # in AdapterHub's files


def write_adapterhub(output: Path, config: AdapterConfig, state: Mapping[str, Tensor]) -> None:
    """Write what AdapterHub's `load_adapter` reads on a T5ForConditionalGeneration.

    Its adapters have no layer norms: `load_adapter` overwrites those of the model, and deleting does not restore them.

    Raises:
        UserError: AdapterHub has no such adapter.
    """
    if not isinstance(config.method, Adapter):
        raise UserError(f"AdapterHub has no {type(config.method).__name__}; expected a method of the adapter family")
    content, tensors = to_adapterhub(config.method, state, config.backbone["d_model"], ADAPTER_NAME)
    (output / "adapter_config.json").write_text(json.dumps(content, indent=2) + "\n")
    torch.save(tensors, output / "pytorch_adapter.bin")


def write_peft(output: Path, config: AdapterConfig, state: Mapping[str, Tensor]) -> None:
    """Write what PEFT's `PeftModel.from_pretrained` reads.

    Raises:
        UserError: The method is not one of PEFT's.
    """
    if not isinstance(config.method, Peft):
        raise UserError(
            f"PEFT has no {type(config.method).__name__}; expected a method that runs by PEFT, such as LoRA"
        )
    peft_config = config.method.make_config()
    peft_config.base_model_name_or_path = config.base_model
    peft_config.inference_mode = True
    peft_config.save_pretrained(str(output))
    tensors = {peft_key(name): tensor.contiguous() for name, tensor in state.items()}
    (output / "adapter_model.safetensors").write_bytes(save(tensors, {"format": "pt"}))
