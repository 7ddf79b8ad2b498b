"""A linear layer of low rank."""

import torch
from torch import Tensor, nn


class LowRankLinear(nn.Module):
    """y = x U V + b with U (k, r) and V (r, d): the linear layer of the paper's Adapter-LowRank (section 5.2).

    Args:
        in_features: k, the size of the last dimension of x.
        out_features: d, the size of the last dimension of y.
        rank: r. The paper's code multiplies its factors elementwise, which equals this product at rank 1 only.
    """

    def __init__(self, in_features: int, out_features: int, rank: int = 1) -> None:
        super().__init__()
        self.left = nn.Parameter(nn.init.xavier_uniform_(torch.empty(in_features, rank), gain=2**0.5))  # (k, r)
        self.right = nn.Parameter(nn.init.xavier_uniform_(torch.empty(rank, out_features), gain=2**0.5))  # (r, d)
        self.bias = nn.Parameter(torch.zeros(out_features))  # (d,)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.left @ self.right + self.bias  # (..., d)
