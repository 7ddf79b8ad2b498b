"""RMSNorm against its equation and torch's own."""

import copy

import pytest
import torch
from torch.nn import functional as F

from lit_compacter.layers import RMSNorm


def norm(dtype: torch.dtype = torch.float64) -> RMSNorm:
    torch.manual_seed(0)
    return RMSNorm(torch.nn.Parameter(torch.randn(24, dtype=dtype)), 1e-6)


def test_equals_torchs() -> None:
    module = norm()
    x = torch.randn(3, 5, 24, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(module(x), F.rms_norm(x, (24,), module.weight, 1e-6), rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(module, (x,))

    def of_weight(weight: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(torch.func.functional_call(module, {"weight": weight}, (x.detach(),)))

    assert torch.autograd.gradcheck(of_weight, (module.weight,))


def test_frozen_weights_get_no_gradient() -> None:
    module = norm().requires_grad_(False)
    x = torch.randn(3, 24, dtype=torch.float64, requires_grad=True)
    module(x).sum().backward()
    assert module.weight.grad is None and x.grad is not None


@pytest.mark.parametrize("size", [1e-20, 1e15])
def test_very_small_and_large_numbers(size: float) -> None:
    x = size * torch.randn(3, 24)
    module = norm(torch.float32)
    torch.testing.assert_close(module(x), copy.deepcopy(module).double()(x.double()).float())


def test_lower_precision_under_autocast_only() -> None:
    module, x = norm(torch.float32), torch.randn(3, 24)
    with torch.autocast("cpu", torch.bfloat16):
        y = module(x)
    assert y.dtype == torch.bfloat16 and module(x.bfloat16()).dtype == torch.float32
    torch.testing.assert_close(y, module(x).bfloat16())
