"""Where the cells of a study run."""

from lit_compacter.studies.engines.base import Engine, Listener
from lit_compacter.studies.engines.local import LocalEngine

__all__ = ["Engine", "Listener", "LocalEngine"]
