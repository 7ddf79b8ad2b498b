"""Plain modules, independent of T5 and of configs."""

from lit_compacter.layers.attention import biased_attention
from lit_compacter.layers.bottleneck import Bottleneck
from lit_compacter.layers.dropout import Dropout, ReLUDropout
from lit_compacter.layers.low_rank import LowRankLinear
from lit_compacter.layers.phm import PHMLinear, PHMRule
from lit_compacter.layers.phm_bottleneck import PHMBottleneck
from lit_compacter.layers.projection import Fastfood, Subspace
from lit_compacter.layers.quantized import QuantizedLinear
from lit_compacter.layers.rms_norm import RMSNorm

__all__ = [
    "Bottleneck",
    "Dropout",
    "Fastfood",
    "LowRankLinear",
    "PHMBottleneck",
    "PHMLinear",
    "PHMRule",
    "QuantizedLinear",
    "RMSNorm",
    "ReLUDropout",
    "Subspace",
    "biased_attention",
]
