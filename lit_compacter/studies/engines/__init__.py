"""Where the cells of a study run."""

from collections.abc import Callable

from lit_compacter.studies.engines.base import Engine, EngineOptions, Listener
from lit_compacter.studies.engines.local import LocalEngine
from lit_compacter.studies.engines.ray import RayEngine
from lit_compacter.studies.engines.slurm import SlurmEngine

__all__ = ["ENGINES", "Engine", "EngineOptions", "Listener", "LocalEngine", "RayEngine", "SlurmEngine"]

# The values of --engine.
ENGINES: dict[str, Callable[[EngineOptions], Engine]] = {
    "local": lambda options: LocalEngine(options.jobs or 1),
    "ray": RayEngine,
    "slurm": SlurmEngine,
}
