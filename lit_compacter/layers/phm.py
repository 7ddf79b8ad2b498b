"""The parameterised hypercomplex multiplication (PHM) layer with low-rank factors, LPHM."""

import torch
from torch import Tensor, nn

SHARED_RULE_STD = 1e-4  # phm_init_range in the paper's code
OWN_RULE_STD = 0.01  # in the paper's code for a layer's own rule, whatever that setting says


def new_rule(phm_dim: int, std: float = SHARED_RULE_STD) -> nn.Parameter:
    """{A_i}, i = 1..n: one learned multiplication rule, (n, n, n), drawn from N(0, std²)."""
    return nn.Parameter(torch.empty(phm_dim, phm_dim, phm_dim).normal_(std=std))


class PHMLinear(nn.Module):
    """y = x H + b with H = Σ_i A_i ⊗ (s_i t_iᵀ), the LPHM layer (paper, section 4 and equation 5).

    H is (k, d) but costs only n³ + r(k + d) numbers, and is not built where its factors are thin. With x read as X,
    (n, k/n), and y as Y, (n, d/n), the product is Y = Σ_i A_iᵀ X s_i t_iᵀ, which two thin matrix products give once the
    rule is merged into the factor on the narrow side of the layer.

    Args:
        in_features: k, the size of the last dimension of x. Divisible by `phm_dim`.
        out_features: d, the size of the last dimension of y. Divisible by `phm_dim`.
        phm_dim: n, the number of Kronecker terms.
        rank: r, the rank of each B_i = s_i t_iᵀ.
        rule: {A_i}, (n, n, n), shared with other layers; by default the layer has its own.

    Raises:
        ValueError: `phm_dim` does not divide both dimensions.
    """

    def __init__(
        self, in_features: int, out_features: int, phm_dim: int, rank: int = 1, rule: nn.Parameter | None = None
    ) -> None:
        super().__init__()
        if in_features % phm_dim or out_features % phm_dim:
            raise ValueError(f"phm_dim {phm_dim} must divide in_features {in_features} and out_features {out_features}")
        self.in_features, self.out_features, self.phm_dim, self.rank = in_features, out_features, phm_dim, rank
        self.rule = new_rule(phm_dim, OWN_RULE_STD) if rule is None else rule  # A: (n, n, n)
        self.s = nn.Parameter(torch.empty(phm_dim, in_features // phm_dim, rank))  # (n, k/n, r)
        self.t = nn.Parameter(torch.empty(phm_dim, rank, out_features // phm_dim))  # (n, r, d/n)
        self.bias = nn.Parameter(torch.zeros(out_features))  # (d,)
        for factor in (*self.s, *self.t):
            nn.init.xavier_uniform_(factor, gain=2**0.5)
        # The two products pass through n²r numbers for each vector. Where these are more than the narrow side has, they
        # still cost fewer multiplications but more time than building H once for all vectors (benchmarks/layer.py).
        self.thin = phm_dim**2 * rank <= min(in_features, out_features)

    def kronecker_sum(self) -> Tensor:
        """H = Σ_i A_i ⊗ (s_i t_iᵀ), (k, d)."""
        h = torch.einsum("ipq,iar,irb->paqb", self.rule, self.s, self.t)
        return h.reshape(self.in_features, self.out_features)

    def forward(self, x: Tensor) -> Tensor:
        n, r = self.phm_dim, self.rank
        if not self.thin:
            return x @ self.kronecker_sum() + self.bias  # (..., d)
        if self.in_features >= self.out_features:
            s = self.s.transpose(0, 1).flatten(1)  # (k/n, n·r)
            v = torch.einsum("ipq,irb->pirqb", self.rule, self.t).reshape(n * n * r, self.out_features)
            z = x.unflatten(-1, (n, -1)) @ s  # (..., n, n·r)
            return z.flatten(-2) @ v + self.bias  # (..., d)
        u = torch.einsum("ipq,iar->paqir", self.rule, self.s).reshape(self.in_features, n * n * r)
        z = (x @ u).unflatten(-1, (n, n * r))  # (..., n, n·r)
        return (z @ self.t.flatten(0, 1)).flatten(-2) + self.bias  # (..., d)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, phm_dim={self.phm_dim}, rank={self.rank}, thin={self.thin}"
