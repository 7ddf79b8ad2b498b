"""What each method trains, what it leaves alone, and what it refuses."""

import copy

import pytest
import torch

from lit_compacter.checkpoint import names_to_save
from lit_compacter.errors import UserError
from lit_compacter.methods import METHODS, Adapter, Compacter, FullFineTuning, LayerNorms, Method
from tests.models import VERSIONS, batch, small_t5, t5_base

SMALL: list[Method] = [
    Compacter(reduction=4),
    Compacter(reduction=4, phm_dim=2, rank=2, where=("feed_forward",)),
    Adapter(reduction=4),
    LayerNorms(),
    FullFineTuning(),
]


def trained(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("method", "count"),
    [
        (Compacter(), 161_728),
        (Compacter(phm_dim=8), 162_176),
        (Compacter(phm_dim=12), 163_392),
        (Compacter(where=("feed_forward",)), 104_704),
        (Compacter(where=("feed_forward",), phm_dim=12), 106_368),
        (Adapter(), 1_855_104),
        (Adapter(where=("attention",)), 951_360),
        (LayerNorms(), 47_616),
        (FullFineTuning(), 222_903_552),
    ],
)
def test_counts_in_t5_base(method: Method, count: int) -> None:
    model = t5_base()
    method.apply(model)
    assert trained(model) == count


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("method", SMALL, ids=lambda m: type(m).__name__)
def test_a_step_changes_what_is_trained_and_nothing_else(method: Method, version: str) -> None:
    model = small_t5(version)
    base = model.state_dict().keys()
    method.apply(model)
    saved = names_to_save(model, base)
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0.0)
    for _ in range(2):  # the rule starts so small that one step would leave s and t with next to no gradient
        model(**batch()).loss.backward()
        assert all((p.grad is not None) == p.requires_grad for p in model.parameters())
        optimizer.step()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    shared_names = {name for name in changed if name not in dict(model.named_parameters())}
    assert changed - shared_names == saved == {n for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("method", [m for m in SMALL if isinstance(m, Adapter)], ids=lambda m: type(m).__name__)
def test_adapters_begin_near_the_identity(method: Adapter) -> None:
    model = small_t5()
    before = model(**batch()).logits
    method.apply(model)
    after = model(**batch()).logits
    assert 0 < (after - before).abs().max() < 0.05 * before.abs().max()


@pytest.mark.parametrize("use_cache", [True, False])
def test_adapters_take_part_in_generation(use_cache: bool) -> None:
    model = small_t5()
    inputs = {key: value for key, value in batch().items() if key != "labels"}
    options = {"max_new_tokens": 6, "do_sample": False, "use_cache": use_cache}
    before = model.generate(**inputs, **options)
    Compacter(reduction=4).apply(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("up.bias"):
                parameter.normal_(std=5.0)
    after = model.generate(**inputs, **options)
    assert before.shape != after.shape or not torch.equal(before, after)
    # What greedy decoding chose is what a full forward pass prefers.
    logits = model(**inputs, decoder_input_ids=after[:, :-1]).logits
    alive = (after[:, :-1] == 1).cumsum(1) == 0  # before the end of sequence
    assert torch.equal(logits.argmax(-1)[alive], after[:, 1:][alive])


def test_the_rule_is_one_tensor() -> None:
    model = small_t5()
    base = model.state_dict().keys()
    Compacter(reduction=4).apply(model)
    rules = {p.data_ptr() for n, p in model.named_parameters(remove_duplicate=False) if n.endswith("rule")}
    assert len(rules) == 1
    assert [name for name in names_to_save(model, base) if name.endswith("rule")] == ["phm_rule"]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            Compacter(phm_dim=5),
            r"phm_dim 5 does not divide both the model dimension 768 and the bottleneck 24.*1, 2, 3, 4",
        ),
        (Compacter(phm_dim=0), r"phm_dim 0 does not divide"),
        (Compacter(rank=0), r"rank is 0; expected 1 or more"),
        (Compacter(reduction=0), r"reduction is 0; expected 1 to 768"),
        (Adapter(reduction=1000), r"reduction is 1000; expected 1 to 768"),
        (Adapter(where=()), r"where is \[\]; expected attention, feed_forward or both, each once"),
        (Adapter(where=("attention", "attention")), r"expected attention, feed_forward or both, each once"),
    ],
)
def test_options_that_make_no_sense(method: Method, message: str) -> None:
    with pytest.raises(UserError, match=message):
        method.apply(t5_base())


def test_every_group_of_the_summary_is_named() -> None:
    model = small_t5()
    method = Compacter(reduction=4)
    method.apply(model)
    groups = {method.group(name) for name, p in model.named_parameters() if p.requires_grad}
    assert groups == {"shared rule", "adapters", "layer norms"}
    assert LayerNorms().group("encoder.final_layer_norm.weight") == "layer norms"
    assert FullFineTuning().group("shared.weight") == "backbone"


def test_methods_are_found_by_name() -> None:
    assert all(METHODS[name].__name__ == name for name in METHODS)
