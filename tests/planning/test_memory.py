"""The estimate of a step's memory: against what is measured, and against sizes known by hand."""

import dataclasses
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import T5Config

from benchmarks import scaling
from benchmarks.plan import BACKBONES as MEASURED_BACKBONES
from benchmarks.plan import LIMIT, METHODS, SHAPES, Setting, Worker, error
from benchmarks.sizes import t5_config
from lit_compacter.backbones.loading import random_backbone
from lit_compacter.backbones.published import published_config
from lit_compacter.cli.configs import METHOD_NAMES
from lit_compacter.cli.defaults import load_method
from lit_compacter.errors import UserError
from lit_compacter.methods import Compacter, FullFineTuning, Method
from lit_compacter.model import build_model
from lit_compacter.model_options import ModelOptions
from lit_compacter.planning.memory import bytes_sent, memory
from lit_compacter.planning.plan import BACKBONES, GB, Estimate, Run, make_plan
from lit_compacter.planning.trace import BatchShape, Peaks, Tracer
from lit_compacter.planning.tracker import MemoryTracker, Segment, peak_of
from lit_compacter.planning.weights import WeightSizes
from lit_compacter.results.resources import count_parameters
from tests.conftest import TINY

SHAPE = BatchShape(4, 32, 4)
QUICK = ["lora"]  # it is built in another way than our own methods
WEIGHTS = WeightSizes(
    counts=(10, 1000), trained=40, largest=24, whole=100, blocks=(1000, 2000), rest=500, largest_linear=0
)


def tiny(method: Method | None = None, **options: Any) -> Run:
    names = {field.name for field in dataclasses.fields(ModelOptions)}
    model = ModelOptions(**{name: value for name, value in options.items() if name in names})
    others = {name: value for name, value in options.items() if name not in names}
    return Run(t5_config("tiny"), method or Compacter(), model, **{"shape": SHAPE} | others)


def test_the_tracker_counts_views_once_and_what_is_freed_not_at_all() -> None:
    weight = torch.zeros(500)
    with MemoryTracker([weight]) as tracker:
        x = torch.zeros(1000)
        y = x.view(10, 100)[2:]
        assert tracker.live == tracker.peak == 4000
        z = x + weight.sum()
        assert tracker.live == 8000
        del z
        tracker.mark("second")
        assert tracker.live == 4000 < 8000 <= tracker.segments[0].rise < 8100
        del x
        assert tracker.live == 4000, "the view still holds it"
        del y
        tracker.mark("third")
        assert tracker.segments[1] == Segment("second", 0, -4000)


def test_repeated_segments() -> None:
    segments = [Segment("a", 10, 5), Segment("b", 20, 8), Segment("c", 3, -1)]
    assert peak_of(segments, {}) == (25, 12)
    assert peak_of(segments, {"b": 4}, live=100) == (100 + 5 + 3 * 8 + 20, 100 + 5 + 4 * 8 - 1)
    shrinking = [Segment("b", 20, -8)]
    assert peak_of(shrinking, {"b": 3}) == (20, -24)


@pytest.mark.parametrize(
    "options",
    [
        {"backbone_dtype": "bfloat16", "gradient_checkpointing": True},
        *(pytest.param(given, marks=pytest.mark.soak) for given in ({}, {"backbone_dtype": "bfloat16"})),
    ],
    ids=str,
)
def test_the_trace_is_what_real_tensors_take(options: dict[str, Any]) -> None:
    """The same step on tensors with memory, counted in the same way."""
    model = build_model(Compacter(), ModelOptions(model_name=str(TINY), pretrained=False, **options)).model
    tracer = Tracer(model.config, Compacter(), ModelOptions(**options), "32-true")
    expected = tracer.peaks(SHAPE)
    tracer.fake = nullcontext()
    tracer.model = tracer.module.model = model
    tracer.module.training_forward = model.__call__
    assert tracer.peaks(SHAPE) == expected


@pytest.mark.parametrize(
    "method",
    [Compacter(), *(pytest.param(m, marks=pytest.mark.soak) for m in (FullFineTuning(), Compacter(layers=(0, 4))))],
    ids=str,
)
def test_blocks_that_are_alike_are_traced_once(method: Method) -> None:
    config = t5_config("tiny")
    config.num_layers, config.num_decoder_layers = 6, 5
    tracer = Tracer(config, method, ModelOptions(), "32-true")
    shallow = tracer.peaks(SHAPE)
    assert bool(tracer.times) is (method != Compacter(layers=(0, 4)))
    model, _ = tracer._build(config)
    tracer.model, tracer.times = model, {}
    tracer.module.model, tracer.module.training_forward = model, model.__call__
    assert tracer.peaks(SHAPE) == shallow


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.soak) for name in METHOD_NAMES]
)
def test_every_method(name: str, tmp_path: Path) -> None:
    """The weights are those of the real model, and checkpointing saves memory."""
    method, config = load_method(name), t5_config("tiny")
    config.num_layers, config.num_decoder_layers, config.d_model = 12, 12, 384  # for AdapterDrop and PHM
    config.save_pretrained(tmp_path)
    model = build_model(method, ModelOptions(model_name=str(tmp_path), pretrained=False)).model
    tracer = Tracer(config, method, ModelOptions(), "32-true")
    assert tracer.weights.counts == count_parameters(model)
    assert tracer.weights.total == sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
    plain = tracer.peaks(SHAPE)
    tracer.checkpoint()
    assert tracer.peaks(SHAPE).forward < plain.forward


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as started:
        yield started


@pytest.mark.soak
@pytest.mark.parametrize("size", ["small", "base"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backbone", MEASURED_BACKBONES)
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_estimates(size: str, method: str, backbone: str, checkpointing: bool, shape: Any, worker: Worker) -> None:
    assert abs(error(worker.measure(Setting(size, method, backbone, checkpointing, shape)))) < LIMIT


def test_the_peak_is_the_largest_of_three() -> None:
    assert memory(WEIGHTS, Peaks(1000, 500), "ddp", 1, True).total == WEIGHTS.total + 80 + 40 + 1000
    assert memory(WEIGHTS, Peaks(100, 900), "ddp", 1, True).total == WEIGHTS.total + 80 + 900
    assert memory(WEIGHTS, Peaks(1, 41), "ddp", 1, True).total == WEIGHTS.total + 80 + 40 + 40
    assert memory(WEIGHTS, Peaks(1, 41), "ddp", 1, False).total == WEIGHTS.total + 80 + 40 + 2 * 24
    wide = dataclasses.replace(WEIGHTS, largest_linear=7)  # of which a CPU holds a copy in 16 bits
    extra = [memory(wide, Peaks(1000, 500), "ddp", 1, gpu, True).total - WEIGHTS.total - 1120 for gpu in (False, True)]
    assert extra == [14, 0]


def test_devices_share_a_sharded_backbone() -> None:
    peaks = Peaks(1000, 500)
    one = memory(WEIGHTS, peaks, "sharded", 1, True)
    ddp, sharded = memory(WEIGHTS, peaks, "ddp", 8, True), memory(WEIGHTS, peaks, "sharded", 8, True)
    assert one.gathered == ddp.gathered == 0 and one.weights == ddp.weights == 3600
    assert ddp.gradients == 2 * one.gradients, "with the buffers that are reduced"
    assert sharded.weights == 100 + 3500 // 8 + 1
    assert sharded.gathered == 500 + 3 * 2000


def test_bytes_sent() -> None:
    assert bytes_sent(WEIGHTS, "ddp", 1) == 0
    assert bytes_sent(WEIGHTS, "ddp", 8, accumulate=4) == 2 * 7 / 8 * 40
    assert bytes_sent(WEIGHTS, "sharded", 4) == 3 / 4 * (2 * 40 + 2 * 3000 + 500)
    assert bytes_sent(WEIGHTS, "sharded", 4, accumulate=3) == 3 * bytes_sent(WEIGHTS, "sharded", 4)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("t5-small", 60.5),
        ("google-t5/t5-base", 222.9),
        ("t5-large", 737.7),
        ("t5-3b", 2851.6),
        ("google-t5/t5-11b", 11307.3),
        ("google/t5-v1_1-base", 247.6),
        ("google/flan-t5-xxl", 11135.3),
    ],
)
def test_published_models_have_their_number_of_parameters(name: str, millions: float) -> None:
    config = published_config(name)
    assert config is not None
    model = random_backbone(config, "meta")
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 1) == millions


def test_an_unknown_name_has_no_shape() -> None:
    assert published_config("t5-huge") is None and published_config("someone/t5-base") is None


def test_quantized_weights() -> None:
    """It works without bitsandbytes. int8 with a scale for each row; 4 bits, with a scale for each 64 weights."""
    encoder = {}
    for kind in BACKBONES:
        run = tiny().with_backbone(kind, checkpointing=False)
        encoder[kind] = Tracer(run.config, run.method, run.options, run.precision).weights.blocks[1]
    linears, wo = 4 * 128 * 128 + 128 * 256, 128 * 256  # of a block without relative positions
    assert encoder["float32"] == 4 * (linears + wo)
    assert encoder["bfloat16"] == 2 * (linears + wo)
    assert encoder["8bit"] == linears + 2 * wo
    assert encoder["nf4"] == linears / 2 + 2 * wo


@pytest.mark.soak
def test_the_largest_batch_fits_and_one_more_does_not() -> None:
    estimate = Estimate(tiny(gradient_checkpointing=True))
    card = 0.5
    rows = estimate.largest_batch("ddp", card)
    for more, fits in ((0, True), (1 + rows // 100, False)):
        run = tiny(gradient_checkpointing=True, shape=dataclasses.replace(SHAPE, rows=rows + more))
        assert (Estimate(run).memory("ddp").total <= 0.9 * card * GB) is fits
    assert estimate.largest_batch("ddp", 0.001) == 0


@pytest.mark.soak
def test_alternatives_are_those_that_the_method_allows() -> None:
    found = make_plan(tiny(devices=8)).alternatives
    assert len(found) == len({(a.strategy, a.backbone, a.checkpointing) for a in found}) == 8 + 4
    assert {a.backbone for a in found if a.strategy == "sharded"} == {"float32", "bfloat16"}
    full = make_plan(tiny(FullFineTuning(), devices=8)).alternatives
    assert {(a.strategy, a.backbone) for a in full} == {("ddp", "float32"), ("ddp", "bfloat16")}


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        (FullFineTuning(), {"strategy": "sharded", "devices": 8}, "trains all weights.*use --trainer.strategy ddp"),
        (Compacter(), {"strategy": "sharded", "devices": 1}, "it needs several devices"),
        (Compacter(), {"strategy": "sharded", "devices": 8, "quantization": "nf4"}, "that are not quantized"),
        (FullFineTuning(), {"quantization": "8bit"}, "cannot be used with method FullFineTuning"),
        (Compacter(phm_dim=5), {}, "phm_dim 5 does not divide"),
    ],
)
def test_refusals(method: Method, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        make_plan(tiny(method, **options))


class ReadsWeights(Method):
    def inject(self, model: Any) -> None:
        if model.get_input_embeddings().weight.sum().item() > 0:
            model.requires_grad_()


def test_a_method_that_reads_weights() -> None:
    with pytest.raises(UserError, match="ReadsWeights cannot be planned, because it needs the values of the weights"):
        Estimate(tiny(ReadsWeights()))


@pytest.mark.soak
def test_precision() -> None:
    """Mixed precision keeps bfloat16 copies of float32 weights; float64 takes twice as much."""
    config: T5Config = t5_config("tiny")
    weights, peaks = {}, {}
    for precision in ("32-true", "bf16-mixed", "64-true"):
        tracer = Tracer(config, Compacter(), ModelOptions(), precision)
        weights[precision], peaks[precision] = tracer.weights.total, tracer.peaks(BatchShape(64, 32, 4))
    assert weights["64-true"] == 2 * weights["32-true"] == 2 * weights["bf16-mixed"]
    assert peaks["bf16-mixed"].forward < peaks["32-true"].forward < peaks["64-true"].forward


@pytest.mark.soak
def test_the_table_of_the_page() -> None:
    """`python -m benchmarks.scaling` would write the rows that are there."""
    for row in scaling.lines("small"):
        assert f"| {' | '.join(row)} |" in scaling.PAGE.read_text()
