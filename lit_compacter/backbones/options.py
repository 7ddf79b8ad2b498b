"""The options of the frozen model. The docstrings are their help."""

from dataclasses import dataclass
from typing import Literal

BACKBONE = "google-t5/t5-base"  # the paper's


@dataclass(kw_only=True)
class BackboneOptions:
    """Which model is fine-tuned, and how its frozen part is held."""

    model_name: str = BACKBONE
    """Hub name or folder of a T5 (v1.0, v1.1, Flan, mT5, UMT5, ByT5, LongT5). For validate, test and predict, the
    default is the checkpoint's model."""

    revision: str | None = None
    """Branch, tag or full commit hash of the model on the hub. Default: the main branch; for validate, test and
    predict, the checkpoint's commit."""

    pretrained: bool = True
    """Load the pretrained weights. False uses random weights, as a control experiment."""

    backbone_dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the frozen weights. bfloat16 halves their memory and computes under bf16 autocast, which is faster where
    the hardware multiplies bfloat16 matrices; everything that is trained stays in float32."""

    gradient_checkpointing: bool = False
    """Recompute the activations in the backward pass: less memory, about a third more time, the same losses."""

    compile: bool = False
    """Compile the training step's forward pass with torch.compile: the first steps take minutes, the losses are the
    same up to rounding. Evaluation is not compiled."""
