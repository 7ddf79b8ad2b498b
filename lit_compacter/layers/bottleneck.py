"""The bottleneck adapter."""

from torch import Tensor, nn


class Bottleneck(nn.Module):
    """A(x) = x + up(gelu(down(x))), the adapter of Houlsby et al. (2019) as the paper uses it (section 2).

    gelu is the tanh approximation, `gelu_new` in the paper's code.

    Args:
        down: Maps the model dimension k to the bottleneck d.
        up: Maps d back to k.
    """

    def __init__(self, down: nn.Module, up: nn.Module) -> None:
        super().__init__()
        self.down = down
        self.up = up
        self.activation = nn.GELU(approximate="tanh")

    def forward(self, x: Tensor) -> Tensor:
        return x + self.up(self.activation(self.down(x)))  # (..., k)
