"""Random projections against their definition."""

import copy

import pytest
import torch

from lit_compacter.layers import Fastfood, Subspace
from lit_compacter.layers.projection import hadamard


def matrix(size: int) -> torch.Tensor:
    """The Walsh-Hadamard matrix by Sylvester's construction."""
    h = torch.ones(1, 1, dtype=torch.float64)
    while len(h) < size:
        h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)])
    return h


@pytest.mark.parametrize("size", [1, 2, 8, 16, 32, 128, 256, 1024])
def test_hadamard_is_the_matrix(size: int) -> None:
    x = torch.randn(3, size, dtype=torch.float64)
    torch.testing.assert_close(hadamard(x), x @ matrix(size), rtol=1e-12, atol=1e-12)


SIZES = [(5, 7), (7, 5), (20, 300), (300, 20), (1, 1), (100, 1000), (16, 16)]


@pytest.mark.parametrize(("d", "many"), SIZES)
def test_fastfood_is_the_product_of_its_matrices(d: int, many: int) -> None:
    layer = Fastfood(d, many, seed=3).double()
    h = matrix(len(layer.signs))
    permutation = torch.eye(len(h), dtype=torch.float64)[layer.permutation.long()]
    whole = h @ torch.diag(layer.scale.double()) @ permutation @ h @ torch.diag(layer.signs.double())
    theta = torch.randn(d, dtype=torch.float64)
    torch.testing.assert_close(layer(theta), whole[:many, :d] @ theta, rtol=1e-10, atol=1e-10)


def test_gradients() -> None:
    layer = Fastfood(6, 21, seed=0).double()
    assert torch.autograd.gradcheck(layer, torch.randn(6, dtype=torch.float64, requires_grad=True))


def test_columns_have_about_unit_length() -> None:
    layer = Fastfood(50, 3000, seed=0)
    columns = torch.stack([layer(column) for column in torch.eye(50)])
    assert (columns.norm(dim=1) - 1).abs().max() < 0.15
    assert not layer.state_dict() and not list(layer.parameters())


def test_the_seed_is_the_projection() -> None:
    theta = torch.randn(9)
    one, same, other = (Fastfood(9, 40, seed)(theta) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


def make() -> Subspace:
    return Subspace(12, [torch.Size([3, 4]), torch.Size([5])], seed=0)


def test_subspace() -> None:
    subspace = make()
    assert subspace.state_dict().keys() == {"theta", "scale"}
    assert sum(p.numel() for p in subspace.parameters()) == 12
    assert not subspace(0).any() and subspace(0).shape == (3, 4)
    with torch.no_grad():
        subspace.theta.normal_()
        subspace.scale[1] = 3.0
        expected = 3 * subspace.projections[1](subspace.theta)
    torch.testing.assert_close(subspace(1), expected)


def test_the_cache_of_evaluation_follows_the_parameters() -> None:
    subspace = make().eval()
    with torch.no_grad():
        before = subspace(0)
        assert subspace(0) is before
        twin = copy.deepcopy(subspace)
        twin.load_state_dict({name: tensor + 1.0 for name, tensor in subspace.state_dict().items()})
        assert not torch.equal(twin(0), before) and subspace(0) is before
        subspace.train().theta.add_(1.0)
        assert not torch.equal(subspace.eval()(0), before)
    subspace(0).sum().backward()
    assert subspace.theta.grad is not None
