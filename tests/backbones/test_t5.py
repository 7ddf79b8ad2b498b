"""Adapters hang where the paper puts them, and the stock model stays what it is."""

import copy

import pytest
import torch
from torch import nn

from lit_compacter.backbones.t5 import attach, named_layer_norms, sites
from tests.models import VERSIONS, batch, small_t5


class Double(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


def test_sites_by_name() -> None:
    assert [(s.name, s.stack, s.layer) for s in sites(small_t5(num_layers=1))] == [
        ("encoder.block.0.layer.0.SelfAttention.o", "encoder", 0),
        ("encoder.block.0.layer.1.DenseReluDense", "encoder", 0),
        ("decoder.block.0.layer.0.SelfAttention.o", "decoder", 0),
        ("decoder.block.0.layer.2.DenseReluDense", "decoder", 0),
    ]
    assert len(list(sites(small_t5(), ("feed_forward",)))) == 4


@pytest.mark.parametrize("version", VERSIONS)
def test_a_site_gives_one_tensor_of_the_models_width(version: str) -> None:
    model = small_t5(version)
    shapes = []
    for site in sites(model):
        site.module.register_forward_hook(lambda m, args, output: shapes.append(output.shape[-1]))
    model(**batch())
    assert shapes == [32] * 8


def test_attached_modules_change_the_output_and_no_base_name() -> None:
    model = small_t5()
    names = set(model.state_dict())
    before = model(**batch()).logits
    for site in sites(model):
        attach(site.module, "twice", Double())
    assert set(model.state_dict()) == names
    assert not torch.equal(model(**batch()).logits, before)


def test_a_deep_copy_runs_its_own_modules() -> None:
    host = nn.Linear(3, 3)
    attach(host, "adapter", nn.Linear(3, 3))
    twin = copy.deepcopy(host)
    x = torch.randn(2, 3)
    assert torch.equal(host(x), twin(x))
    nn.init.zeros_(twin.get_submodule("adapter").weight)  # type: ignore[arg-type]
    assert not torch.equal(host(x), twin(x))


def test_a_place_is_taken_once() -> None:
    host = nn.Linear(3, 3)
    attach(host, "adapter", nn.Linear(3, 3))
    with pytest.raises(ValueError, match="it would be applied twice"):
        attach(host, "adapter", nn.Linear(3, 3))


def test_layer_norms_include_the_final_ones() -> None:
    assert len(list(named_layer_norms(small_t5()))) == 2 * 2 + 2 * 3 + 2
