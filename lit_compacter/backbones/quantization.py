"""Hold the frozen linear layers of a T5 in 8 or 4 bits."""

import logging
from importlib.util import find_spec

from transformers import T5ForConditionalGeneration

from lit_compacter.backbones.t5 import named_linears
from lit_compacter.errors import UserError
from lit_compacter.layers import QuantizedLinear
from lit_compacter.layers.quantized import Quantization


def check_installed() -> None:
    """Raise UserError if the library for quantization is not installed."""
    if find_spec("bitsandbytes") is None:
        raise UserError("model.quantization needs the library bitsandbytes: pip install 'lit-compacter[quantization]'")


def quantize_linears(model: T5ForConditionalGeneration, quantization: Quantization) -> None:
    """Replace the linear layers of the blocks in place, except `wo`, one at a time."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it suggests kernels for its own layers
    for name, linear in list(named_linears(model)):
        model.set_submodule(name, QuantizedLinear(linear, quantization))
