"""The ways to fine-tune: each changes a stock T5 in place and says what is trained."""

from lit_compacter.methods.adapter import Adapter
from lit_compacter.methods.base import Method
from lit_compacter.methods.bitfit import BitFit
from lit_compacter.methods.compacter import Compacter
from lit_compacter.methods.full import FullFineTuning
from lit_compacter.methods.intrinsic import IntrinsicSAID
from lit_compacter.methods.layer_norms import LayerNorms
from lit_compacter.methods.low_rank import LowRankAdapter
from lit_compacter.methods.peft import Peft
from lit_compacter.methods.prompt import PromptTuning

_ALL = (
    Compacter,
    Adapter,
    LowRankAdapter,
    BitFit,
    PromptTuning,
    IntrinsicSAID,
    LayerNorms,
    FullFineTuning,
    Peft,
)
METHODS: dict[str, type[Method]] = {method.__name__: method for method in _ALL}


def name_of(method: type[Method]) -> str:
    """A method's name in configs and checkpoints: of ours that of its class, of any other the import path."""
    ours = METHODS.get(method.__name__) is method
    return method.__name__ if ours else f"{method.__module__}.{method.__qualname__}"


__all__ = [
    "METHODS",
    "Adapter",
    "BitFit",
    "Compacter",
    "FullFineTuning",
    "IntrinsicSAID",
    "LayerNorms",
    "LowRankAdapter",
    "Method",
    "Peft",
    "PromptTuning",
    "name_of",
]
