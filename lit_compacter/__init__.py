"""Fine-tune T5 with Compacter (Karimi Mahabadi et al., NeurIPS 2021) under PyTorch Lightning.

The names below attach adapters to a stock T5 without Lightning. They are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_compacter.adapters.api import active_adapter as active_adapter
    from lit_compacter.adapters.api import add_adapter as add_adapter
    from lit_compacter.adapters.api import delete_adapter as delete_adapter
    from lit_compacter.adapters.api import disable_adapters as disable_adapters
    from lit_compacter.adapters.api import load_adapter as load_adapter
    from lit_compacter.adapters.api import save_adapter as save_adapter
    from lit_compacter.adapters.api import set_adapter as set_adapter
    from lit_compacter.adapters.api import trainable_parameters as trainable_parameters
    from lit_compacter.adapters.api import use_adapters as use_adapters
    from lit_compacter.adapters.predict import predict as predict
    from lit_compacter.methods import Adapter as Adapter
    from lit_compacter.methods import BitFit as BitFit
    from lit_compacter.methods import Compacter as Compacter
    from lit_compacter.methods import IntrinsicSAID as IntrinsicSAID
    from lit_compacter.methods import LayerNorms as LayerNorms
    from lit_compacter.methods import LowRankAdapter as LowRankAdapter
    from lit_compacter.methods import Peft as Peft
    from lit_compacter.methods import PromptTuning as PromptTuning

__version__ = "0.1.0"

_EXPORTS = {
    "lit_compacter.adapters.api": (
        "active_adapter add_adapter delete_adapter disable_adapters load_adapter save_adapter set_adapter "
        "trainable_parameters use_adapters"
    ),
    "lit_compacter.adapters.predict": "predict",
    "lit_compacter.methods": "Adapter BitFit Compacter IntrinsicSAID LayerNorms LowRankAdapter Peft PromptTuning",
}
_MODULES = {name: module for module, names in _EXPORTS.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
