"""The ways to fine-tune: each changes a stock T5 in place and says what is trained."""

from lit_compacter.methods.adapter import Adapter
from lit_compacter.methods.base import Method
from lit_compacter.methods.compacter import Compacter
from lit_compacter.methods.full import FullFineTuning
from lit_compacter.methods.layer_norms import LayerNorms

METHODS: dict[str, type[Method]] = {m.__name__: m for m in (Compacter, Adapter, LayerNorms, FullFineTuning)}

__all__ = ["METHODS", "Adapter", "Compacter", "FullFineTuning", "LayerNorms", "Method"]
