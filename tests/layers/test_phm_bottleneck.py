"""PHMBottleneck against Bottleneck: the same outputs and gradients."""

import copy

import pytest
import torch

from lit_compacter.layers import Bottleneck, PHMBottleneck, PHMLinear, PHMRule
from lit_compacter.layers.bottleneck import NON_LINEARITIES, NonLinearity


def make(n: int, r: int, non_linearity: NonLinearity, factorized: bool = False) -> tuple[Bottleneck, PHMBottleneck]:
    """The same adapter twice."""
    torch.manual_seed(n * 10 + r)
    rule = PHMRule(n, factorized=factorized)
    down, up = PHMLinear(48, 24, n, r, rule), PHMLinear(24, 48, n, r, rule)
    for parameter in (*rule.parameters(), down.bias, up.bias):
        torch.nn.init.normal_(parameter)  # the initial 1e-4 would hide errors of order one
    down.use_factored_matmul = up.use_factored_matmul = True
    plain = Bottleneck(down, up, non_linearity).double()
    down, up = copy.deepcopy((plain.down, plain.up))  # type: ignore[assignment]  # they share the rule
    return plain, PHMBottleneck(down, up, non_linearity)


@pytest.mark.parametrize("non_linearity", NON_LINEARITIES)
@pytest.mark.parametrize("factorized", [True, False])
@pytest.mark.parametrize(("n", "r"), [(1, 1), (2, 3), (4, 1), (4, 2), (12, 1)])
def test_equals_the_plain_bottleneck(n: int, r: int, factorized: bool, non_linearity: NonLinearity) -> None:
    plain, fused = make(n, r, non_linearity, factorized)
    x, dy = torch.randn(2, 3, 5, 48, dtype=torch.float64)
    inputs = x.clone().requires_grad_(), x.clone().requires_grad_()
    outputs = plain(inputs[0]), fused(inputs[1])
    for output in outputs:
        output.backward(dy)
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-12, atol=1e-12)
    for expected, parameter in zip(plain.parameters(), fused.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sizes", [(32, 32), (24, 48)])
def test_adapters_that_do_not_narrow(sizes: tuple[int, int]) -> None:
    dim, bottleneck = sizes
    down, up = PHMLinear(dim, bottleneck, 2), PHMLinear(bottleneck, dim, 2)
    x = torch.randn(3, dim)
    torch.testing.assert_close(PHMBottleneck(down, up)(x), Bottleneck(down, up)(x))


def test_vectors_need_not_be_contiguous() -> None:
    plain, fused = make(4, 1, "gelu_new")
    x = torch.randn(3, 48, 5, dtype=torch.float64).transpose(1, 2)
    torch.testing.assert_close(fused(x), plain(x), rtol=1e-12, atol=1e-12)


def test_frozen_parameters_and_inputs_get_no_gradient() -> None:
    _, fused = make(4, 1, "gelu_new")
    fused.down.phm_rule.requires_grad_(False)
    fused(torch.randn(3, 48, dtype=torch.float64)).sum().backward()
    assert fused.down.s.grad is not None and fused.down.phm_rule.weight.grad is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_computes_in_the_type_of_the_input(dtype: torch.dtype) -> None:
    plain, fused = make(4, 1, "gelu_new")
    plain, fused = plain.float(), fused.float()
    x = torch.randn(3, 48)
    with torch.autocast("cpu", torch.bfloat16):
        y = fused(x.to(dtype))
    y.float().sum().backward()
    assert y.dtype == dtype and fused.down.s.grad is not None and fused.down.s.grad.dtype == torch.float32
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(y.float(), plain(x), rtol=tolerance, atol=tolerance)


def test_gradients_of_each_row_under_vmap() -> None:
    plain, fused = make(4, 1, "gelu_new")
    x = torch.randn(3, 5, 48, dtype=torch.float64)

    def gradients(module: Bottleneck) -> dict[str, torch.Tensor]:
        parameters = {name: p.detach() for name, p in module.named_parameters(remove_duplicate=False)}

        def loss(parameters: dict[str, torch.Tensor], row: torch.Tensor) -> torch.Tensor:
            output = torch.func.functional_call(module, parameters, (row,), tie_weights=False)
            return torch.as_tensor(output.square().sum())

        return dict(torch.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x))

    for name, expected in gradients(plain).items():
        torch.testing.assert_close(gradients(fused)[name], expected, rtol=1e-10, atol=1e-10)
