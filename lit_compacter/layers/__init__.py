"""Plain modules that know nothing of T5 or of configs."""

from lit_compacter.layers.bottleneck import Bottleneck
from lit_compacter.layers.phm import PHMLinear

__all__ = ["Bottleneck", "PHMLinear"]
