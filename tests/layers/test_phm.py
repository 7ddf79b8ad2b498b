"""PHMLinear against the definition: a sum of Kronecker products."""

import pytest
import torch

from lit_compacter.layers import PHMLinear
from lit_compacter.layers.phm import INITS, PHMRule

CASES = [(n, r) for n in (1, 2, 4, 8, 12) for r in (1, 2, 4)]
SIZES = [(96, 24), (24, 96), (24, 24), (768, 24), (24, 768)]


def definition(layer: PHMLinear, x: torch.Tensor) -> torch.Tensor:
    factors = layer.weight if layer.rank is None else layer.s @ layer.t
    terms = (torch.kron(a, factor) for a, factor in zip(layer.phm_rule(), factors, strict=True))
    return x @ sum(terms, torch.zeros(())) + layer.bias


def make(n: int, r: int | None, size: tuple[int, int], shared: bool, factorized: bool = False) -> PHMLinear:
    torch.manual_seed(n * 100 + (r or 0))
    rule = PHMRule(n, factorized=factorized) if shared or factorized else None
    layer = PHMLinear(*size, phm_dim=n, rank=r, phm_rule=rule).double()
    for tensor in (*layer.phm_rule.parameters(), layer.bias):
        torch.nn.init.normal_(tensor)  # the initial 1e-4 would hide errors of order one
    return layer


@pytest.mark.parametrize("thin", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("n", "r"), CASES)
def test_equals_the_sum_of_kronecker_products(n: int, r: int, size: tuple[int, int], shared: bool, thin: bool) -> None:
    layer = make(n, r, size, shared)
    layer.use_factored_matmul = thin  # right either way; which is cheaper is the layer's own choice
    x = torch.randn(3, 5, size[0], dtype=torch.float64)
    expected = definition(layer, x)
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(x @ layer.weight_matrix() + layer.bias, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("thin", [True, False])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("n", "r"), CASES)
def test_gradients(n: int, r: int, shared: bool, thin: bool) -> None:
    for size in ((24, 12), (12, 24)) if n == 12 else ((16, 8), (8, 16)):
        layer = make(n, r, size, shared)
        layer.use_factored_matmul = thin
        x = torch.randn(2, size[0], dtype=torch.float64, requires_grad=True)
        names = [name for name, _ in layer.named_parameters()]

        def run(
            x: torch.Tensor, *values: torch.Tensor, layer: PHMLinear = layer, names: list[str] = names
        ) -> torch.Tensor:
            return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), x)

        assert torch.autograd.gradcheck(run, (x, *layer.parameters()))


@pytest.mark.parametrize("factorized", [True, False])
@pytest.mark.parametrize("rank", [None, 1, 2])
def test_dense_factors_and_factorized_rules(rank: int | None, factorized: bool) -> None:
    for size in SIZES:
        layer = make(4, rank, size, shared=True, factorized=factorized)
        x = torch.randn(3, 5, size[0], dtype=torch.float64)
        torch.testing.assert_close(layer(x), definition(layer, x), rtol=1e-12, atol=1e-12)


def test_factors_may_be_another_layers() -> None:
    first = PHMLinear(24, 12, phm_dim=4)
    second = PHMLinear(24, 12, phm_dim=4, phm_rule=first.phm_rule, share_factors_with=first)
    assert second.s is first.s and second.t is first.t and second.bias is not first.bias


@pytest.mark.parametrize("init", INITS)
def test_inits(init: str) -> None:
    torch.manual_seed(0)
    layer = PHMLinear(768, 96, phm_dim=4, rank=None, init=init)  # type: ignore[arg-type]
    xavier = (2 * 2 / (768 / 4 + 96 / 4)) ** 0.5  # gain √2
    expected = {"xavier_uniform": xavier, "xavier_normal": xavier, "normal": 0.01}[init]
    assert layer.weight.std().item() == pytest.approx(expected, rel=0.05)


def test_thin_factors_never_build_h(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(self: PHMLinear) -> torch.Tensor:
        raise AssertionError("H was materialized")

    monkeypatch.setattr(PHMLinear, "weight_matrix", forbidden)
    for size in ((768, 24), (24, 768)):
        for n, r in ((1, 1), (1, 4), (2, 1), (2, 4), (4, 1), (12, 1)):
            layer = PHMLinear(*size, phm_dim=n, rank=r)
            assert layer(torch.randn(2, size[0])).shape == (2, size[1])


def test_factored_only_where_it_is_cheaper() -> None:
    assert PHMLinear(768, 24, phm_dim=12).use_factored_matmul
    assert PHMLinear(768, 96, phm_dim=8, rank=4).use_factored_matmul
    assert not PHMLinear(768, 24, phm_dim=12, rank=2).use_factored_matmul
    assert not PHMLinear(768, 24, phm_dim=4, rank=None).use_factored_matmul


def test_initial_values() -> None:
    torch.manual_seed(0)
    layer = PHMLinear(768, 24, phm_dim=4)
    bound = (2 * 6 / (768 / 4 + 1)) ** 0.5  # Xavier uniform with gain √2 of a (k/n, 1) matrix
    assert 0.9 * bound < layer.s.abs().max() <= bound
    assert 0.005 < layer.phm_rule.weight.std() < 0.02, "a rule of its own"
    assert 0.5e-4 < PHMRule(4).weight.std() < 2e-4, "a shared rule"
    assert not layer.bias.any()
    assert sum(p.numel() for p in layer.parameters()) == 768 + 24 + 24 + 4**3


def test_indivisible_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="phm_dim 5 must divide in_features 768 and out_features 24"):
        PHMLinear(768, 24, phm_dim=5)
