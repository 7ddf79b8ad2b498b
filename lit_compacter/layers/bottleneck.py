"""The bottleneck adapter."""

from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias

from torch import Tensor, nn

NonLinearity: TypeAlias = Literal["gelu_new", "gelu", "relu", "silu"]
NON_LINEARITIES: dict[NonLinearity, Callable[[], nn.Module]] = {
    "gelu_new": partial(nn.GELU, approximate="tanh"),
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
}


class Bottleneck(nn.Module):
    """A(x) = x + up(f(down(x))), the adapter of Houlsby et al. (2019) as the paper uses it (section 2).

    Args:
        down: Maps the model dimension k to the bottleneck d.
        up: Maps d back to k.
        non_linearity: f. Default: the tanh approximation of GELU, as in the paper's code.
    """

    def __init__(self, down: nn.Module, up: nn.Module, non_linearity: NonLinearity = "gelu_new") -> None:
        super().__init__()
        self.down = down
        self.up = up
        self.activation = NON_LINEARITIES[non_linearity]()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.up(self.activation(self.down(x)))  # (..., k)
