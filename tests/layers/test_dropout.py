"""Dropout: its rate, its scale, its gradient and its seed."""

import pytest
import torch

from lit_compacter.layers import Dropout, ReLUDropout
from tests.saved_tensors import saved_bytes


@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
@pytest.mark.parametrize("shape", [(400, 501), (3, 7)])
def test_rate_scale_and_gradient(p: float, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape, requires_grad=True)
    y = Dropout(p)(x)
    dy = torch.randn(shape)
    y.backward(dy)
    kept = y != 0
    error = 5 * (p * (1 - p) / x.numel()) ** 0.5  # five standard deviations
    assert abs(kept.float().mean().item() - (1 - p)) < error
    torch.testing.assert_close(y, torch.where(kept, x / (1 - p), 0), rtol=1e-4, atol=0)
    torch.testing.assert_close(x.grad, torch.where(kept, dy / (1 - p), 0), rtol=1e-4, atol=0)


def test_the_elements_are_independent() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(100_000)) != 0).float() - 0.5
    for distance in range(1, 9):
        assert abs((kept[distance:] * kept[:-distance]).mean()) < 0.005, "elements that share a random number"


def test_follows_torchs_seed() -> None:
    masks = []
    for _ in range(2):
        torch.manual_seed(3)
        masks.append(Dropout(0.1)(torch.ones(2, 1000)))
    assert torch.equal(*masks) and not torch.equal(masks[0], Dropout(0.1)(torch.ones(2, 1000)))
    assert not torch.equal(masks[0][0], masks[0][1])


def test_nothing_is_dropped_in_evaluation_or_at_rate_0() -> None:
    x = torch.randn(10)
    assert Dropout(0.1).eval()(x) is x and Dropout(0.0)(x) is x


def test_other_types() -> None:
    for dtype in (torch.bfloat16, torch.float64):
        assert Dropout(0.1)(torch.ones(7, 3, dtype=dtype)).dtype == dtype


def test_relu_and_dropout_at_once() -> None:
    x = torch.randn(400, 501, requires_grad=True)
    outputs: list[torch.Tensor] = []
    gradients: list[torch.Tensor] = []
    for function in (lambda x: Dropout(0.1)(torch.relu(x)), ReLUDropout(0.1)):
        torch.manual_seed(0)
        outputs.append(function(x))
        gradients += torch.autograd.grad(outputs[-1], x, torch.ones_like(x))
    assert torch.equal(*outputs) and torch.equal(*gradients)
    assert saved_bytes(lambda: ReLUDropout(0.1)(x)) == x.numel()
    for module in (ReLUDropout(0.1).eval(), ReLUDropout(0.0)):
        assert torch.equal(module(x), torch.relu(x))
