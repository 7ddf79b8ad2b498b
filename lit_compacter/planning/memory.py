"""From the traced sizes of a step to the memory and the traffic of one process."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from lit_compacter.planning.trace import Peaks
from lit_compacter.planning.weights import WeightSizes

Strategy: TypeAlias = Literal["ddp", "sharded"]
MOMENTS = 2  # that AdamW keeps of each trained number, in its type
GATHERED_BLOCKS = 3  # one in use, the next one, and the buffer that the next one is received in


@dataclass(frozen=True)
class Memory:
    """Bytes on one device.

    Attributes:
        weights: Of the model, or of this device's share of it.
        gathered: Of frozen weights of other devices, while they are used (sharded).
        optimizer: AdamW's moments.
        gradients: Of the trained parameters, with the buffers in which they are averaged over the devices.
        activations: What the forward pass keeps for the backward pass, and temporary tensors, at the peak.
    """

    weights: int
    gathered: int
    optimizer: int
    gradients: int
    activations: int

    @property
    def total(self) -> int:
        """Bytes at the peak of a step."""
        return self.weights + self.gathered + self.optimizer + self.gradients + self.activations


def memory(
    weights: WeightSizes, peaks: Peaks, strategy: Strategy, devices: int, on_gpu: bool, in_16_bits: bool = False
) -> Memory:
    """Memory of a device at the peak of a step.

    Lightning frees the gradients of the last step after the forward pass, so that with W bytes of weights, G of
    gradients and S = 2 G of moments the peak is the largest of

        forward:    W + S + G + forward
        backward:   W + S + backward, in which the new gradients grow to G
        optimizer:  W + S + G + temporary

    where forward and backward are the traced peaks above the weights. AdamW's temporary tensors are as large as all
    gradients on a GPU, which updates all parameters at once, and as two of the largest on a CPU. DDP holds the
    gradients a second time, in the buffers that it reduces. A sharded backbone of F bytes takes F / N on each of N
    devices, with the embeddings and output layer whole, and up to three of the largest block, while a step runs. A CPU
    copies a 16-bit weight to another layout while it multiplies with it.

    Args:
        weights: Sizes of the model.
        peaks: Those of a step.
        strategy: ddp or sharded; the same with one device.
        devices: N.
        on_gpu: Whether the device is a GPU.
        in_16_bits: Whether products are computed in bfloat16.
    """
    gradients, optimizer = weights.trained, MOMENTS * weights.trained
    temporary = weights.trained if on_gpu else 2 * weights.largest
    copied = 2 * weights.largest_linear if in_16_bits and not on_gpu else 0
    peak = max(copied + peaks.forward + gradients, copied + peaks.backward, gradients + temporary)
    buffers = gradients if devices > 1 else 0
    held, gathered = weights.total, 0
    if strategy == "sharded" and devices > 1:
        held = weights.whole + -(-(sum(weights.blocks) + weights.rest) // devices)
        gathered = weights.rest + GATHERED_BLOCKS * max(weights.blocks)
    return Memory(held, gathered, optimizer, gradients + buffers, peak - gradients)


def bytes_sent(weights: WeightSizes, strategy: Strategy, devices: int, accumulate: int = 1) -> int:
    """Bytes that each process sends for an optimizer step.

    With N processes, a ring all-reduce of the G bytes of gradients sends 2 (N − 1) / N G, and an all-gather of F bytes
    of frozen weights (N − 1) / N F. DDP reduces once per optimizer step. Of a sharded backbone, each batch gathers the
    blocks twice, forward and backward, and the embeddings and output layer once, and its gradients are reduced.

    Args:
        weights: Sizes of the model.
        strategy: ddp or sharded.
        devices: N.
        accumulate: Batches per optimizer step.
    """
    share = (devices - 1) / devices
    reduced = 2 * share * weights.trained
    if strategy == "ddp":
        return round(reduced)
    return round(accumulate * (reduced + share * (2 * sum(weights.blocks) + weights.rest)))
