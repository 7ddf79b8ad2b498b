"""The memory and the traffic of a run and of its alternatives."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

from transformers import PretrainedConfig

from lit_compacter.errors import UserError
from lit_compacter.layers.quantized import Quantization
from lit_compacter.methods import Method
from lit_compacter.model import check_quantizable
from lit_compacter.model_options import ModelOptions
from lit_compacter.planning.memory import Memory, Strategy, bytes_sent, memory
from lit_compacter.planning.trace import AUTOCAST_DTYPES, BatchShape, Peaks, Tracer
from lit_compacter.planning.weights import WeightSizes

GB = 10**9
CARDS = (16, 24, 40, 80)  # GB
USABLE = 0.9  # of a card; the rest is for CUDA's context and for gaps between tensors
MANY_ROWS = 512  # a second batch, for the growth of memory with the batch

# How the frozen weights are held → options of the model.
BACKBONES: dict[str, dict[str, Any]] = {
    "float32": {"backbone_dtype": "float32", "quantization": None},
    "bfloat16": {"backbone_dtype": "bfloat16", "quantization": None},
    **{kind: {"backbone_dtype": "float32", "quantization": kind} for kind in get_args(Quantization)},
}


def fits(memory: Memory, card: float) -> bool:
    """Whether a card of so many GB is enough."""
    return memory.total <= USABLE * card * GB


@dataclass(frozen=True)
class Run:
    """What decides the memory of a run.

    Attributes:
        config: The backbone's config.
        method: The method.
        options: The options of the module.
        shape: The largest batch of a process.
        precision: The value of `trainer.precision`.
        strategy: ddp or sharded.
        devices: Number of processes, each with a device.
        accumulate: Batches per optimizer step.
        on_gpu: Whether the devices are GPUs.
    """

    config: PretrainedConfig
    method: Method
    options: ModelOptions
    shape: BatchShape
    precision: str = "32-true"
    strategy: Strategy = "ddp"
    devices: int = 1
    accumulate: int = 1
    on_gpu: bool = True

    @property
    def backbone(self) -> str:
        """The key of `BACKBONES` that the options say."""
        return self.options.quantization or self.options.backbone_dtype

    def with_backbone(self, backbone: str, checkpointing: bool) -> "Run":
        """The run with frozen weights that are held in another way, with or without gradient checkpointing."""
        changes = BACKBONES[backbone] | {"gradient_checkpointing": checkpointing}
        return dataclasses.replace(self, options=dataclasses.replace(self.options, **changes))


class Estimate:
    """The memory of a run's model on a device, for any number of rows and either strategy.

    Args:
        run: The run.
        tracer: Of its model. Default: a new one.
        like: An estimate whose memory grows with the batch in the same way. Default: it is traced when it is needed.
    """

    def __init__(self, run: Run, tracer: Tracer | None = None, like: "Estimate | None" = None) -> None:
        self.run = run
        self._tracer = tracer or Tracer(run.config, run.method, run.options, run.precision)
        self._like = like
        self.weights: WeightSizes = self._tracer.weights
        self.peaks = self._tracer.peaks(run.shape)

    def memory(self, strategy: Strategy) -> Memory:
        """The memory at the run's batch."""
        return self._memory(self.peaks, strategy)

    def bytes_sent(self, strategy: Strategy) -> int:
        """Bytes that a process sends per optimizer step."""
        return bytes_sent(self.weights, strategy, self.run.devices, self.run.accumulate)

    def largest_batch(self, strategy: Strategy, card: float) -> int:
        """The most rows that fit on a card of so many GB, 0 if not even one does."""
        rows, step = 0, 1 << 20
        while step:
            if fits(self._memory(self._peaks_of(rows + step), strategy), card):
                rows += step
            step //= 2
        return rows

    @cached_property
    def _growth(self) -> tuple[float, float]:
        """Bytes for each further row, forward and backward, between the run's batch and a large one."""
        if self._like:
            return self._like._growth
        rows = max(MANY_ROWS, 2 * self.run.shape.rows)
        many, further = self._tracer.peaks(dataclasses.replace(self.run.shape, rows=rows)), rows - self.run.shape.rows
        return (many.forward - self.peaks.forward) / further, (many.backward - self.peaks.backward) / further

    def _peaks_of(self, rows: int) -> Peaks:
        further = rows - self.run.shape.rows
        forward, backward = (round(further * bytes_per_row) for bytes_per_row in self._growth)
        return Peaks(self.peaks.forward + forward, max(self.peaks.backward + backward, self.weights.trained))

    def _memory(self, peaks: Peaks, strategy: Strategy) -> Memory:
        run = self.run
        in_16_bits = run.options.computes_in_bfloat16 or run.precision.startswith(tuple(AUTOCAST_DTYPES))
        return memory(self.weights, peaks, strategy, run.devices, run.on_gpu, in_16_bits)


@dataclass(frozen=True)
class Alternative:
    """One way to hold the backbone and the activations.

    Attributes:
        strategy: ddp or sharded.
        backbone: A key of `BACKBONES`.
        checkpointing: Whether activations are computed again in the backward pass.
        memory: Of a device.
        bytes_sent: By each process, per optimizer step.
        largest_batches: GB of a card → the most rows that fit, 0 for none.
    """

    strategy: Strategy
    backbone: str
    checkpointing: bool
    memory: Memory
    bytes_sent: int
    largest_batches: Mapping[float, int]

    def fits(self, card: float) -> bool:
        """Whether the run's batch fits on a card of so many GB."""
        return fits(self.memory, card)

    def changes(self, other: "Alternative") -> int:
        """In how many ways it differs from another."""
        names = ("strategy", "backbone", "checkpointing")
        return sum(getattr(self, name) != getattr(other, name) for name in names)


@dataclass(frozen=True)
class Plan:
    """A run and its alternatives.

    Attributes:
        run: The run.
        counts: Number of trained parameters, and of all.
        configured: The run as its config says.
        alternatives: All ways that the method allows, the configured one among them.
        cards: GB of the cards that are asked about.
    """

    run: Run
    counts: tuple[int, int]
    configured: Alternative
    alternatives: Sequence[Alternative]
    cards: Sequence[float]

    @property
    def nearest(self) -> Alternative | None:
        """With the fewest changes, the alternative whose batch fits on the largest card; None if there is none."""
        fitting = [alternative for alternative in self.alternatives if alternative.fits(max(self.cards))]
        return min(fitting, key=lambda a: (a.changes(self.configured), a.memory.total), default=None)


def make_plan(run: Run, cards: Sequence[float] = CARDS) -> Plan:
    """Estimate a run and its alternatives.

    Raises:
        UserError: The method does not fit the model, the quantization or the strategy.
    """
    if run.options.quantization is not None:
        check_quantizable(run.method, run.options.quantization)
    found: list[Alternative] = []
    counts = 0, 0
    in_bfloat16: dict[bool, Estimate] = {}  # quantized weights are computed with in bfloat16, too
    for backbone in backbones(run.method):
        plain = run.with_backbone(backbone, checkpointing=False)
        tracer = Tracer(plain.config, plain.method, plain.options, plain.precision)
        check_strategy(run, tracer.weights)
        counts = tracer.weights.counts
        for checkpointing in (False, True):
            if checkpointing:
                tracer.checkpoint()
            like = in_bfloat16.get(checkpointing)
            estimate = Estimate(run.with_backbone(backbone, checkpointing), tracer, like)
            if backbone == "bfloat16":
                in_bfloat16[checkpointing] = estimate
            for strategy in strategies(run, backbone, tracer.weights):
                largest = {card: estimate.largest_batch(strategy, card) for card in cards}
                known = estimate.memory(strategy), estimate.bytes_sent(strategy), largest
                found.append(Alternative(strategy, backbone, checkpointing, *known))
    wanted = run.strategy, run.backbone, run.options.gradient_checkpointing
    configured = next(a for a in found if (a.strategy, a.backbone, a.checkpointing) == wanted)
    found.sort(key=lambda a: (a.strategy, list(BACKBONES).index(a.backbone), a.checkpointing))
    return Plan(run, counts, configured, found, cards)


def check_strategy(run: Run, weights: WeightSizes) -> None:
    """Refuse a strategy that does not fit the run, before anything is traced.

    Raises:
        UserError: It does not fit.
    """
    obstacle = obstacle_to_sharding(run, run.backbone, weights)
    if run.strategy == "sharded" and obstacle:
        raise UserError(f"trainer.strategy sharded: {obstacle}; or use --trainer.strategy ddp")


def backbones(method: Method) -> list[str]:
    """Ways to hold the backbone that the method allows."""
    obstacle = method.obstacle_to_quantization()
    return [kind for kind, options in BACKBONES.items() if options["quantization"] is None or obstacle is None]


def strategies(run: Run, backbone: str, weights: WeightSizes) -> list[Strategy]:
    """The strategies that fit."""
    return ["ddp"] if obstacle_to_sharding(run, backbone, weights) else ["ddp", "sharded"]


def obstacle_to_sharding(run: Run, backbone: str, weights: WeightSizes) -> str | None:
    """Why strategy sharded does not fit; None if it does."""
    if weights.rest == 0:
        return f"method {type(run.method).__name__} trains all weights, so that none are left to shard"
    if BACKBONES[backbone]["quantization"] is not None:
        return f"it needs weights that are not quantized, and these are in {backbone}"
    if run.devices == 1:
        return "it needs several devices (--devices)"
    return None
