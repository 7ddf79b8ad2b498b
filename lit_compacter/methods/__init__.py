"""The fine-tuning methods. Each changes a stock T5 in place. To add one, import it here."""

from collections.abc import Mapping
from typing import Any

from lit_compacter.methods.adapter import Adapter as Adapter
from lit_compacter.methods.base import Method as Method
from lit_compacter.methods.bitfit import BitFit as BitFit
from lit_compacter.methods.compacter import Compacter as Compacter
from lit_compacter.methods.full import FullFineTuning as FullFineTuning
from lit_compacter.methods.intrinsic import IntrinsicSAID as IntrinsicSAID
from lit_compacter.methods.layer_norms import LayerNorms as LayerNorms
from lit_compacter.methods.low_rank import LowRankAdapter as LowRankAdapter
from lit_compacter.methods.peft import Peft as Peft
from lit_compacter.methods.prompt import PromptTuning as PromptTuning

METHODS: dict[str, type[Method]] = {
    name: imported
    for name, imported in globals().items()
    if isinstance(imported, type) and issubclass(imported, Method) and imported is not Method
}


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a method's options to the types of YAML: lists instead of tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}


def make_method(name: str, options: Mapping[str, Any]) -> Method:
    """The method of that name in `METHODS`, with options as YAML or a checkpoint has them."""
    return METHODS[name](**{key: tuple(value) if isinstance(value, list) else value for key, value in options.items()})


def name_of(method: type[Method]) -> str:
    """A method's name in configs and checkpoints: its class name if it is in `METHODS`, else its import path."""
    is_known = METHODS.get(method.__name__) is method
    return method.__name__ if is_known else f"{method.__module__}.{method.__qualname__}"
