"""The machine and the versions that a result depends on."""

import platform
from importlib.metadata import distributions

import torch

LIBRARIES = ("torch", "transformers", "peft")


def versions() -> dict[str, str]:
    """The versions of this program and of the libraries that its results depend on, as far as they are installed."""
    names = ("lit_compacter", *LIBRARIES)  # the first is not installed if main.py of a clone is run by another Python
    found = {name: next(iter(distributions(name=name)), None) for name in names}
    return {name: distribution.version for name, distribution in found.items() if distribution}


def environment(device: str | None = None) -> dict[str, str]:
    """The machine and the versions that a result depends on.

    Args:
        device: cpu or cuda. Default: the trainer's choice.
    """
    on_gpu = torch.cuda.is_available() if device is None else device == "cuda"
    cpu = f"CPU, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    machine = torch.cuda.get_device_name() if on_gpu else cpu
    return {"machine": machine, "python": platform.python_version()} | versions()
