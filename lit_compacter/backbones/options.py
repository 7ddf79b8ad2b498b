"""The options of the frozen model. The docstrings are their help."""

from dataclasses import dataclass
from typing import Literal

from lit_compacter.layers.quantized import Quantization

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

    quantization: Quantization | None = None
    """Hold the linear layers of the blocks, except those that leave a feed-forward, in 8 or 4 bits (nf4), and the other
    frozen weights as bfloat16 does. Slower, for models that do not fit the device otherwise; needs bitsandbytes."""

    gradient_checkpointing: bool = False
    """Recompute the activations in the backward pass: less memory, about a third more time, the same losses."""

    compile: bool = False
    """Compile the training step's forward pass with torch.compile: the first steps take minutes, the losses are the
    same up to rounding. Evaluation is not compiled."""

    @property
    def computes_in_bfloat16(self) -> bool:
        """Whether frozen weights are held in bfloat16, which autocast must then compute in."""
        return self.backbone_dtype == "bfloat16" or self.quantization is not None
