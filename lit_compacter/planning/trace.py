"""A training step on tensors without memory: what its tensors would take."""

import contextlib
import copy
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PretrainedConfig, T5ForConditionalGeneration

from lit_compacter.backbones.loading import random_backbone
from lit_compacter.backbones.t5 import STACKS, num_blocks
from lit_compacter.compat import fake_tensors
from lit_compacter.errors import UserError, first_line
from lit_compacter.methods import Method
from lit_compacter.model import checkpoint_activations, fine_tune
from lit_compacter.model_options import ModelOptions
from lit_compacter.module import T5Module
from lit_compacter.planning.quantized import quantize_linears
from lit_compacter.planning.tracker import MemoryTracker, peak_of
from lit_compacter.planning.weights import weigh

AUTOCAST_DTYPES = {"bf16": torch.bfloat16, "16": torch.float16}  # beginning of trainer.precision → what it computes in
SHALLOW = 3  # blocks: the first, one of those in the middle, which are alike, and the last


@dataclass(frozen=True)
class Peaks:
    """Bytes that a step takes at most above the model's tensors.

    Attributes:
        forward: In the forward pass, without the gradients of the step before.
        backward: In the backward pass, with its gradients.
    """

    forward: int
    backward: int


@dataclass(frozen=True)
class BatchShape:
    """Sizes of a batch: rows, source tokens and target tokens."""

    rows: int
    source: int
    target: int


class Tracer:
    """Runs training steps of a model whose tensors have no memory.

    The forward pass, the loss and the backward pass are those of `T5Module`, so that what a method adds, autocast,
    gradient checkpointing and the package's own operations are counted as they are. If the blocks of each stack are
    alike, the step is run with three blocks, of which the middle one is counted as often as the model has it.

    Args:
        config: The backbone's config.
        method: The method.
        options: The options of the module.
        precision: The value of `trainer.precision`.

    Attributes:
        weights: Sizes of the model.

    Raises:
        UserError: The method does not fit the model, or reads the values of its weights.
    """

    def __init__(self, config: PretrainedConfig, method: Method, options: ModelOptions, precision: str) -> None:
        self.precision, self.vocab_size = precision, config.vocab_size
        self.module = T5Module(method, **vars(options))
        self.fake = fake_tensors()
        with default_dtype(precision):
            model, names = self._build(config)
            self.weights = weigh(model, names)
            self.times: dict[Hashable, int] = {
                (stack, 1): max(1, num_blocks(model, stack) - SHALLOW + 1) for stack in STACKS
            }
            self.model = self._shallow(config, model) or model
        if self.model is model:
            self.times = {}
        self.module.model = self.model
        self.module.training_forward = self.model.__call__

    def _build(self, config: PretrainedConfig) -> tuple[T5ForConditionalGeneration, set[str]]:
        method, options = self.module.method, self.module.options
        try:
            with self.fake:
                model = random_backbone(config)
                return model, fine_tune(model, method, options, quantize_linears)
        except Exception:  # PEFT moves its modules to a device, which fake tensors refuse, and meta tensors do not
            return self._build_on_meta(config)

    def _build_on_meta(self, config: PretrainedConfig) -> tuple[T5ForConditionalGeneration, set[str]]:
        method = self.module.method
        try:
            with torch.device("meta"):
                model = random_backbone(config, "meta")
                names = fine_tune(model, method, self.module.options, quantize_linears)
        except UserError:
            raise
        except Exception as error:  # whatever a method that reads values raises
            raise UserError(
                f"method {type(method).__name__} cannot be planned, because it needs the values of the weights: "
                f"{first_line(error)}"
            ) from error
        with self.fake:
            give_device(model)
        return model, names

    def _shallow(self, config: PretrainedConfig, deep: nn.Module) -> T5ForConditionalGeneration | None:
        """The model with few blocks; None if its middle blocks are not those of the deep model."""
        config = copy.deepcopy(config)
        config.num_layers = min(SHALLOW, config.num_layers)
        config.num_decoder_layers = min(SHALLOW, config.num_decoder_layers)
        try:
            model, _ = self._build(config)
        except UserError:  # of a method that names blocks
            return None
        for stack in STACKS:
            both = (list(m.get_submodule(f"{stack}.block").children())[1:] for m in (deep, model))
            kinds = [describe(block) for blocks in both for block in blocks]
            if any(kind != kinds[0] for kind in kinds):
                return None
        return model

    def checkpoint(self) -> None:
        """Recompute the activations of later steps in their backward pass."""
        checkpoint_activations(self.model)

    def peaks(self, shape: BatchShape) -> Peaks:
        """Run a forward and a backward pass for a batch."""
        known = [*self.model.parameters(), *self.model.buffers()]
        with self.fake, MemoryTracker(known) as tracker:
            batch = make_batch(shape, self.vocab_size)
            with self._autocast(), marking(self.model, tracker):
                loss = self.module.loss(batch)
            tracker.mark("backward")
            forward, live = peak_of(tracker.segments, self.times)
            tracker.segments.clear()
            loss.backward()
            tracker.mark("end")
            backward, _ = peak_of(tracker.segments, self.times, live)
        self.model.zero_grad()
        return Peaks(forward, backward)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The autocast of Lightning's plugin for the precision."""
        dtype = next((kind for start, kind in AUTOCAST_DTYPES.items() if self.precision.startswith(start)), None)
        return torch.autocast("cpu", dtype) if dtype else contextlib.nullcontext()


@contextlib.contextmanager
def default_dtype(precision: str) -> Iterator[None]:
    """Make new tensors float64 if the precision says so, as Lightning does."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64 if precision.startswith("64") else before)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def give_device(model: nn.Module) -> None:
    """Replace the tensors of a model by new ones of the same shapes and types on the default device."""
    new: dict[Tensor, Tensor] = {}
    for module in list(model.modules()):
        for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            if tensor not in new:
                empty = torch.empty(tensor.shape, dtype=tensor.dtype)
                is_parameter = isinstance(tensor, nn.Parameter)
                new[tensor] = nn.Parameter(empty, tensor.requires_grad) if is_parameter else empty
            setattr(module, name, new[tensor])


@contextlib.contextmanager
def marking(model: nn.Module, tracker: MemoryTracker) -> Iterator[None]:
    """Mark where each block begins in the forward pass that runs in this context, and in its backward pass."""
    handles: list[RemovableHandle] = []
    for stack in STACKS:
        for index, block in enumerate(model.get_submodule(f"{stack}.block").children()):
            mark = partial(tracker.mark, (stack, index))
            handles.append(block.register_forward_pre_hook(lambda *_, mark=mark: mark()))
            handles.append(block.register_forward_hook(partial(_mark_backward, mark)))
    try:
        yield
    finally:  # before the backward pass, in which checkpointing calls the blocks again
        for handle in handles:
            handle.remove()


def _mark_backward(mark: Callable[[], None], block: nn.Module, args: Any, output: tuple[Tensor, ...]) -> None:
    if output[0].requires_grad:
        output[0].register_hook(lambda _: mark())


def describe(block: nn.Module) -> dict[str, Any]:
    """What decides the memory of a block: its modules, and the shapes and types of its tensors."""
    tensors = {**dict(block.named_parameters()), **dict(block.named_buffers())}
    kinds: dict[str, Any] = {name: type(module) for name, module in block.named_modules()}
    return kinds | {f"{name} ": (t.shape, t.dtype, t.requires_grad) for name, t in tensors.items()}


def make_batch(shape: BatchShape, vocab_size: int) -> Any:
    """Tokens without padding."""
    source, target = (shape.rows, shape.source), (shape.rows, shape.target)
    return {
        "input_ids": torch.randint(vocab_size, source),
        "attention_mask": torch.ones(source, dtype=torch.long),
        "labels": torch.randint(vocab_size, target),
    }
