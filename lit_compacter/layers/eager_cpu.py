"""Where the package's own functions replace torch's."""

import torch
from torch import Tensor


def is_eager_cpu(x: Tensor) -> bool:
    """Whether x is on a CPU and is not being compiled. GPUs and the compiler have fused kernels instead."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()
