"""The machine and the versions that a result depends on."""

import platform
from importlib.metadata import version
from importlib.util import find_spec

import torch

LIBRARIES = ("torch", "transformers", "peft")


def environment(device: str | None = None) -> dict[str, str]:
    """The machine and the versions that a result depends on.

    Args:
        device: cpu or cuda. Default: the trainer's choice.
    """
    on_gpu = torch.cuda.is_available() if device is None else device == "cuda"
    cpu = f"CPU, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    installed = {name: version(name) for name in LIBRARIES if find_spec(name)}
    machine = torch.cuda.get_device_name() if on_gpu else cpu
    own = {"lit_compacter": version("lit-compacter"), "python": platform.python_version()}
    return {"machine": machine} | own | installed
