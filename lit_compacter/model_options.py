"""The options of the module, as `--model.<name>` or under `model:` in YAML. The docstrings are their help."""

from dataclasses import dataclass
from typing import Literal

from jsonargparse.typing import NonNegativeFloat, PositiveFloat

from lit_compacter.backbones.options import BackboneOptions
from lit_compacter.schedule import Warmup
from lit_compacter.utils.options import make_plain


@dataclass(kw_only=True)
class ModelOptions(BackboneOptions):
    """All options of the module but the method."""

    learning_rate: PositiveFloat = 3e-3  # type: ignore[valid-type]
    """Peak learning rate of AdamW. The paper uses 3e-3 for Compacter, and 3e-4 for dense adapters and full
    fine-tuning."""

    warmup_steps: Warmup = 500
    """Optimizer steps over which the learning rate rises from 0, before it falls linearly to 0. A value below 1 is a
    share of all optimizer steps, rounded up, as in transformers. The paper uses 500."""

    weight_decay: NonNegativeFloat = 0.0  # type: ignore[valid-type]
    """AdamW's weight decay."""

    seed: int = 42
    """Seed of the new parameters and of dropout."""

    init_from: str | None = None
    """Folder or hub name of an exported adapter that training starts from, with a new optimizer. Its method and
    options must be the same, its task may be another one."""

    evaluate: Literal["generate", "rank"] = "generate"
    """How an answer is found. generate: decode greedily, as in the paper. rank: take the label whose text is the
    likeliest, by one pass of the decoder for each; for tasks with labels, where no answer is invalid then."""

    def __post_init__(self) -> None:
        make_plain(self)
