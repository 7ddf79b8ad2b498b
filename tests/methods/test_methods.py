"""What each method trains, what it leaves alone, and what it refuses."""

import pytest
import torch

from lit_compacter.backbones.t5 import weight_hosts
from lit_compacter.checkpoints.format import names_to_save, tensors
from lit_compacter.cli.configs import METHOD_NAMES
from lit_compacter.cli.defaults import load_method
from lit_compacter.errors import UserError
from lit_compacter.methods import (
    Adapter,
    BitFit,
    Compacter,
    FullFineTuning,
    IntrinsicSAID,
    LayerNorms,
    LowRankAdapter,
    Method,
    Peft,
    PromptTuning,
)
from tests.models import MODELS, batch, small_t5, t5_base


def trained(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


COUNTS: list[tuple[Method, int]] = [
    (Compacter(), 161_728),
    (Compacter(phm_dim=8), 162_176),
    (Compacter(phm_dim=12), 163_392),
    (Compacter(sublayers=("feed_forward",)), 104_704),
    (Compacter(sublayers=("feed_forward",), phm_dim=12), 106_368),
    (Compacter(phm_dim=12, phm_rank=None, shared_phm_rule=False), 398_976),  # PHM-Adapter
    (Compacter(shared_phm_rule=False), 161_728 - 4**3 + 96 * 4**3),
    (Compacter(factorized_phm_rule=True), 161_728 - 4**3 + 2 * 4**2),
    (Compacter(learn_phm_rule=False), 161_728 - 4**3),
    (Compacter(shared_factors=True), 47_616 + 48 * (24 + 768) + 2 * (24 + 768) + 4**3),
    (Compacter(phm_rank=2), 161_728 + 96 * (24 + 768)),
    (Adapter(), 1_855_104),
    (Adapter(sublayers=("self_attention",)), 951_360),  # Pfeiffer
    (Adapter(layers=tuple(range(5, 12))), 1_101_984),  # AdapterDrop
    (Adapter(sublayers=("cross_attention",), stacks=("decoder",)), 47_616 + 12 * 37_656),
    (Adapter(stacks=("encoder",)), 47_616 + 24 * 37_656),
    (LowRankAdapter(), 161_664),
    (BitFit(), 280_960),
    (PromptTuning(), 76_800),
    (LayerNorms(), 47_616),
    (FullFineTuning(), 222_903_552),
]


@pytest.mark.parametrize(("method", "count"), COUNTS, ids=lambda value: str(value))
def test_counts_in_t5_base(method: Method, count: int) -> None:
    model = t5_base()
    method.apply(model)
    assert trained(model) == count


SHIPPED = {
    "adapter": 1_855_104,
    "adapter_drop": 1_101_984,
    "bitfit": 280_960,
    "compacter": 161_728,
    "compacter_pp": 104_704,
    "full": 222_903_552,
    "ia3": 129_024,
    "layer_norms": 47_616,
    "lora": 884_736,
    "low_rank": 161_664,
    "pfeiffer": 951_360,
    "phm_adapter": 398_976,
    "prompt_random": 76_800,
    "prompt_tokens": 76_800,
}


@pytest.mark.parametrize("file", sorted({*METHOD_NAMES} - {"intrinsic_said"}))
def test_counts_of_the_shipped_configs(file: str) -> None:
    model = t5_base()
    load_method(file).apply(model)
    assert trained(model) == SHIPPED[file]


def test_bitfit_at_the_papers_vocabulary() -> None:
    model = t5_base(vocab_size=32_100)
    BitFit().apply(model)
    assert trained(model) == 280_932


def test_intrinsic_said_trains_as_many_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """In T5-base; its projections, which take gigabytes, are left out."""
    monkeypatch.setattr("lit_compacter.layers.projection.Fastfood", lambda few, many, seed: torch.nn.Identity())
    model = t5_base()
    IntrinsicSAID().apply(model)
    assert trained(model) == 20_000
    assert model.get_parameter("subspace.scale").shape == (257,)


def test_intrinsic_said_is_the_shifted_model() -> None:
    """Tied weights stay tied: each is W + λ P θ wherever it is used."""
    for kind in MODELS:
        model, plain = small_t5(kind).double(), small_t5(kind).double()
        IntrinsicSAID(dim=300).apply(model)
        subspace = model.get_submodule("subspace").double()
        with torch.no_grad():
            for parameter in subspace.parameters():
                parameter.normal_(std=0.5)
            for index, (weight, _) in enumerate(weight_hosts(plain)):
                weight.add_(subspace(index))
            # T5's layer norms compute in float32 whatever they are given.
            torch.testing.assert_close(model(**batch()).logits, plain(**batch()).logits, rtol=1e-4, atol=1e-5)


def test_a_prompt_of_tokens_holds_pretrained_embeddings() -> None:
    model = small_t5()
    PromptTuning(length=5, init="tokens").apply(model)
    rows = model.shared.weight.tolist()
    vectors = model.encoder.prompt.tolist()
    assert all(vector in rows for vector in vectors) and len({tuple(vector) for vector in vectors}) == 5


def test_a_prompt_is_read_whatever_is_padded() -> None:
    model = small_t5()
    PromptTuning(length=5).apply(model)
    inputs = batch()
    longer = {
        "input_ids": torch.nn.functional.pad(inputs["input_ids"], (0, 3)),
        "attention_mask": torch.nn.functional.pad(inputs["attention_mask"], (0, 3)),
    }
    torch.testing.assert_close(model(**inputs | longer).logits, model(**inputs).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("use_cache", [True, False])
def test_adapters_take_part_in_generation(use_cache: bool) -> None:
    model = small_t5()
    inputs = {key: value for key, value in batch().items() if key != "labels"}
    options = {"max_new_tokens": 6, "do_sample": False, "use_cache": use_cache}
    before = model.generate(**inputs, **options)
    Compacter(reduction_factor=4).apply(model)
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
    base = tensors(model)
    Compacter(reduction_factor=4).apply(model)
    rules = {p.data_ptr() for n, p in model.named_parameters(remove_duplicate=False) if "rule" in n}
    assert len(rules) == 1
    assert [name for name in names_to_save(model, base) if "rule" in name] == ["phm_rule"]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            Compacter(phm_dim=5),
            r"phm_dim 5 does not divide both the model dimension 768 and the bottleneck 24.*1, 2, 3, 4",
        ),
        (Compacter(phm_dim=0), r"phm_dim 0 does not divide"),
        (Compacter(phm_rank=0), r"phm_rank is 0; expected 1 to 6, a factor's full rank, or null"),
        (Compacter(phm_rank=7), r"phm_rank is 7; expected 1 to 6"),
        (Compacter(reduction_factor=1, shared_factors=True), r"shared_factors needs a reduction_factor above 1"),
        (Adapter(layers=(1, 1)), r"layers is \[1, 1\]; expected some of 0 to 11, each once"),
        (Peft(config={"peft_type": "LORA", "target_modules": ["q"], "inference_mode": True}), r"trains nothing"),
        (Peft(config={"peft_type": "LORA", "target_modules": ["q"], "bias": "xx"}), r"model.method.config: "),
        (Peft(config={"peft_type": "POLY"}), r"peft_type is 'POLY'; expected one of"),
        (Compacter(reduction_factor=0), r"reduction_factor is 0; expected 1 to 768"),
        (Adapter(reduction_factor=1000), r"reduction_factor is 1000; expected 1 to 768"),
        (
            Adapter(sublayers=()),
            r"sublayers is \[\]; expected one or more of self_attention, cross_attention, feed_forward",
        ),
        (
            Adapter(sublayers=("self_attention", "self_attention")),
            r"sublayers is \['self_attention', 'self_attention'\]; expected one or more of",
        ),
        (Adapter(stacks=()), r"stacks is \[\]; expected one or more of encoder, decoder, each once"),
        (Adapter(layers=()), r"layers is \[\]; expected some of 0 to 11, each once, or null for all"),
        (Adapter(layers=(3, 12)), r"layers is \[3, 12\]; expected some of 0 to 11"),
        (
            Adapter(sublayers=("cross_attention",), stacks=("encoder",)),
            r"do not exist in this model; an encoder",
        ),
        (LowRankAdapter(rank=0), r"rank is 0; expected 1 to 24, the bottleneck"),
        (LowRankAdapter(rank=25), r"rank is 25; expected 1 to 24, the bottleneck"),
        (PromptTuning(length=0), r"length is 0; expected 1 to 512 vectors"),
        (PromptTuning(length=600), r"length is 600; expected 1 to 512 vectors"),
        (IntrinsicSAID(dim=257), r"dim is 257; expected more than 257, the number of weights"),
        (Peft(config={"peft_type": "LORRA"}), r"config.peft_type is 'LORRA'; expected one of .*LORA"),
        (Peft(config={"peft_type": "LORA", "rr": 3}), r"model.method.config: .*unexpected keyword argument 'rr'"),
        (Peft(config={"peft_type": "LORA", "target_modules": ["nosuch"]}), r"model.method.config: Target modules"),
    ],
)
def test_options_that_make_no_sense(method: Method, message: str) -> None:
    with pytest.raises(UserError, match=message):
        method.apply(t5_base())


def test_every_group_of_the_summary_is_named() -> None:
    model = small_t5()
    method = Compacter(reduction_factor=4)
    method.apply(model)
    groups = {method.summary_group(name) for name, p in model.named_parameters() if p.requires_grad}
    assert groups == {"shared rule", "adapters", "layer norms"}
    assert LayerNorms().summary_group("encoder.final_layer_norm.weight") == "layer norms"
    assert FullFineTuning().summary_group("shared.weight") == "backbone"
