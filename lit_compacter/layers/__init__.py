"""Plain modules, independent of T5 and of configs."""

from lit_compacter.layers.bottleneck import Bottleneck
from lit_compacter.layers.low_rank import LowRankLinear
from lit_compacter.layers.phm import PHMLinear, PHMRule
from lit_compacter.layers.phm_bottleneck import PHMBottleneck
from lit_compacter.layers.projection import Fastfood, Subspace

__all__ = ["Bottleneck", "Fastfood", "LowRankLinear", "PHMBottleneck", "PHMLinear", "PHMRule", "Subspace"]
