"""Random projections from few trainable parameters to many: the maps of Intrinsic-SAID."""

import torch
from torch import Tensor, nn


def hadamard(x: Tensor) -> Tensor:
    """H x over the last dimension, whose size N is a power of two; H is the ±1 Walsh-Hadamard matrix, H H = N.

    It takes O(N log N): the dimension is reshaped to a grid with axes of at most 16, and a small Hadamard matrix is
    applied along each axis. H is symmetric, so autograd's gradient is the same transform.
    """
    size, radices = x.shape[-1], []
    while size > 1:
        radices.append(min(size, 16))
        size //= radices[-1]
    y = x.unflatten(-1, radices or [1])
    for axis, radix in enumerate(radices, start=x.dim() - 1):
        y = torch.tensordot(y, small_hadamard(radix, x), dims=([axis], [0])).movedim(-1, axis)
    return y.reshape(x.shape)


def small_hadamard(size: int, like: Tensor) -> Tensor:
    """The (size, size) matrix H, H[i, j] = (−1)^(number of common bits of i and j)."""
    i = torch.arange(size, device=like.device)
    common = i[:, None] & i
    bits = sum((common >> bit) & 1 for bit in range(max(1, size.bit_length())))
    return 1 - 2 * (torch.as_tensor(bits) % 2).to(like.dtype)


class Fastfood(nn.Module):
    """P θ with P = (H G Π H B)[:D, :d] / (‖G‖ √D), the Fastfood projection of d numbers to D (Le et al., 2013).

    B are random signs, Π a random permutation, G normal numbers, H the Walsh-Hadamard matrix of size N, the
    smallest power of two not below d and D. The denominator gives P's columns about unit length (Li et al., 2018). The
    random parts are drawn from `seed` and are not in the state dict.

    Args:
        in_features: d.
        out_features: D.
        seed: Seed of the random numbers.
    """

    signs: Tensor
    permutation: Tensor
    scale: Tensor

    def __init__(self, in_features: int, out_features: int, seed: int) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        size = 1 << (max(in_features, out_features) - 1).bit_length()  # N
        generator = torch.Generator().manual_seed(seed)
        with torch.device("cpu"):  # the same numbers whatever the training device
            signs = torch.randint(0, 2, (size,), generator=generator, dtype=torch.int8) * 2 - 1
            permutation = torch.randperm(size, generator=generator, dtype=torch.int32)
            scale = torch.randn(size, generator=generator)
        self.register_buffer("signs", signs, persistent=False)  # B, (N,)
        self.register_buffer("permutation", permutation, persistent=False)  # Π, (N,)
        self.register_buffer("scale", scale / (scale.norm() * out_features**0.5), persistent=False)  # G/(‖G‖√D), (N,)

    def forward(self, theta: Tensor) -> Tensor:
        size = self.signs.shape[0]
        x = nn.functional.pad(theta, (0, size - self.in_features)) * self.signs  # (N,)
        x = hadamard(x).index_select(0, self.permutation) * self.scale.to(theta.dtype)
        return hadamard(x)[: self.out_features]  # (D,)


class Subspace(nn.Module):
    """Δ_i = λ_i P_i θ: the change of each of m weights, from d parameters in all (Aghajanyan et al., 2021).

    θ holds d − m of them and starts at 0; λ holds m and starts at 1.

    Args:
        dim: d.
        shapes: Shapes of the m weights.
        seed: Seed of P_0; that of P_i is `seed` + i.
    """

    def __init__(self, dim: int, shapes: list[torch.Size], seed: int) -> None:
        super().__init__()
        self.shapes = shapes
        self.theta = nn.Parameter(torch.zeros(dim - len(shapes)))  # (d − m,)
        self.scale = nn.Parameter(torch.ones(len(shapes)))  # λ: (m,)
        sizes = enumerate(shape.numel() for shape in shapes)
        self.register_load_state_dict_post_hook(lambda module, _: module.clear_cache())
        self.projections = nn.ModuleList(Fastfood(dim - len(shapes), size, seed + i) for i, size in sizes)
        self.cache: dict[tuple[int, torch.device], Tensor] = {}  # of Δ, while nothing is trained

    def forward(self, index: int) -> Tensor:
        """Δ of the weight `index`, in its shape."""
        if self.training or torch.is_grad_enabled():
            self.cache.clear()
            return self._delta(index)
        # In evaluation nothing changes between steps, and decoding asks for each Δ once per token.
        key = index, self.theta.device
        if key not in self.cache:
            self.cache[key] = self._delta(index)
        return self.cache[key]

    def train(self, mode: bool = True) -> "Subspace":
        self.cache.clear()  # the parameters may have been written without a forward pass
        return super().train(mode)

    def clear_cache(self) -> None:
        """Compute each Δ anew: the parameters have other values."""
        self.cache.clear()

    def _delta(self, index: int) -> Tensor:
        with torch.autocast(self.theta.device.type, enabled=False):  # sums of many numbers are inaccurate in bf16
            return self.scale[index] * self.projections[index](self.theta).view(self.shapes[index])
