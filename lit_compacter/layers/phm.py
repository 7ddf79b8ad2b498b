"""The parameterized hypercomplex multiplication (PHM) layer, with dense or low-rank factors (LPHM)."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHARED_RULE_STD = 1e-4  # phm_init_range in the paper's code
OWN_RULE_STD = 0.01  # used by the paper's code for a rule that is not shared, whatever phm_init_range is

Init: TypeAlias = Literal["xavier_uniform", "xavier_normal", "normal"]
INITS: dict[Init, Callable[[Tensor], Tensor]] = {
    "xavier_uniform": lambda factor: nn.init.xavier_uniform_(factor, gain=2**0.5),
    "xavier_normal": lambda factor: nn.init.xavier_normal_(factor, gain=2**0.5),
    "normal": lambda factor: nn.init.normal_(factor, std=0.01),
}


class PHMRule(nn.Module):
    """The PHM rule {A_i}, i = 1..n, as a tensor (n, n, n).

    Args:
        phm_dim: n, the number of Kronecker terms.
        std: Standard deviation of the initial values.
        factorized: A_i = l_i r_iᵀ with l_i and r_i of size n: 2n² parameters instead of n³.
    """

    weight: nn.Parameter
    left: nn.Parameter
    right: nn.Parameter

    def __init__(self, phm_dim: int, std: float = SHARED_RULE_STD, factorized: bool = False) -> None:
        super().__init__()
        shapes = {"left": (phm_dim, phm_dim, 1), "right": (phm_dim, 1, phm_dim)}
        for name, shape in (shapes if factorized else {"weight": (phm_dim,) * 3}).items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape).normal_(std=std)))
        self.factorized = factorized

    def forward(self) -> Tensor:
        return self.left @ self.right if self.factorized else self.weight


class PHMLinear(nn.Module):
    """y = x H + b with H = Σ_i A_i ⊗ B_i, the PHM layer, or B_i = s_i t_iᵀ, the LPHM layer (paper, section 4).

    H has shape (k, d) but only n³ + kd/n parameters, or n³ + r(k + d) with low-rank factors. For low ranks, H is not
    materialized: with x reshaped to X, (n, k/n), and y to Y, (n, d/n), the product is Y = Σ_i A_iᵀ X s_i t_iᵀ. Two
    matrix products compute it once the rule is merged into the factor on the narrow side of the layer.

    Args:
        in_features: k, the size of the last dimension of x. Divisible by `phm_dim`.
        out_features: d, the size of the last dimension of y. Divisible by `phm_dim`.
        phm_dim: n, the number of Kronecker terms.
        rank: r, the rank of each B_i = s_i t_iᵀ; None for dense B_i.
        phm_rule: {A_i}, shared with other layers. Default: a rule of its own.
        init: Initialization of each B_i, or of each s_i and t_i; Xavier initialization uses gain √2.
        share_factors_with: A layer whose factors (s and t, or B) this layer shares.

    Raises:
        ValueError: `phm_dim` does not divide both dimensions.
    """

    weight: nn.Parameter
    s: nn.Parameter
    t: nn.Parameter

    def __init__(
        self,
        in_features: int,
        out_features: int,
        phm_dim: int,
        rank: int | None = 1,
        phm_rule: PHMRule | None = None,
        init: Init = "xavier_uniform",
        share_factors_with: "PHMLinear | None" = None,
    ) -> None:
        super().__init__()
        if in_features % phm_dim or out_features % phm_dim:
            raise ValueError(f"phm_dim {phm_dim} must divide in_features {in_features} and out_features {out_features}")
        self.in_features, self.out_features, self.phm_dim, self.rank = in_features, out_features, phm_dim, rank
        self.phm_rule = PHMRule(phm_dim, OWN_RULE_STD) if phm_rule is None else phm_rule  # A: (n, n, n)
        self.bias = nn.Parameter(torch.zeros(out_features))  # (d,)
        k, d = in_features // phm_dim, out_features // phm_dim
        shapes = {"weight": (phm_dim, k, d)} if rank is None else {"s": (phm_dim, k, rank), "t": (phm_dim, rank, d)}
        for name, shape in shapes.items():
            if share_factors_with is not None:
                factor = getattr(share_factors_with, name)
            else:
                factor = nn.Parameter(torch.empty(shape))
                for matrix in factor:
                    INITS[init](matrix)
            self.register_parameter(name, factor)
        # Where the two products need fewer multiplications per vector, they also take less time (benchmarks/layer.py).
        wide, narrow = max(in_features, out_features), min(in_features, out_features)
        self.use_factored_matmul = rank is not None and phm_dim * rank * (wide + phm_dim * narrow) < wide * narrow

    def weight_matrix(self) -> Tensor:
        """H = Σ_i A_i ⊗ B_i, (k, d)."""
        b = self.weight if self.rank is None else self.s @ self.t
        return torch.einsum("ipq,iab->paqb", self.phm_rule(), b).reshape(self.in_features, self.out_features)

    def factors(self) -> tuple[Tensor, Tensor]:
        """Two matrices that compute x H for vectors x; the rule is merged into the one on the narrow side.

        Returns:
            If k ≥ d: (k/n, n·r), which multiplies each of the n parts of x, and (n²r, d), which multiplies the result.
            Otherwise (k, n²r), which multiplies x, and (n·r, d/n), which multiplies each of the n parts of the result.
        """
        a = self.phm_rule()
        if self.in_features >= self.out_features:
            v = a.transpose(0, 1)[:, :, None, :, None] * self.t[:, :, None, :]  # A_i[p, q] t_i[r, b], (n, n, r, n, d/n)
            return self.s.transpose(0, 1).flatten(1), v.reshape(-1, self.out_features)
        u = a.permute(1, 2, 0)[:, None, :, :, None] * self.s.transpose(0, 1)[:, None]  # A_i[p, q] s_i[a, r]
        return u.reshape(self.in_features, -1), self.t.flatten(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        if not self.use_factored_matmul:
            return F.linear(x, self.weight_matrix().t(), self.bias)  # (..., d)
        n, (first, second) = self.phm_dim, self.factors()
        if self.in_features >= self.out_features:
            z = (x.unflatten(-1, (n, -1)) @ first).flatten(-2)  # (..., n²r)
            return F.linear(z, second.t(), self.bias)  # (..., d)
        z = (x @ first).unflatten(-1, (n, -1))  # (..., n, n·r)
        return (z @ second).flatten(-2) + self.bias  # (..., d)

    def extra_repr(self) -> str:
        size = f"{self.in_features}, {self.out_features}, phm_dim={self.phm_dim}, rank={self.rank}"
        return f"{size}, use_factored_matmul={self.use_factored_matmul}"
