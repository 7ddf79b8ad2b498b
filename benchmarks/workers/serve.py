"""A worker's side of benchmarks/compare.py: for each line on stdin one unit of work and one line of JSON.

Workers also run in peers' environments, where the package's dependencies are absent: torch and the standard library
must do. The parent imports it too, and needs no torch.
"""

import contextlib
import json
import os
import platform
import resource
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

ANSWERS = "BENCHMARK_ANSWERS"  # number of the file descriptor for answers; whatever is printed goes to the log
THREADS = "BENCHMARK_THREADS"
LIBRARIES = ("lit-compacter", "torch", "transformers", "pytorch-lightning", "peft", "adapters", "opendelta")


def set_threads() -> None:
    """Compute with as many threads as the parent asks for, and from the same seed as the other workers."""
    import torch

    torch.set_num_threads(int(os.environ[THREADS]))
    torch.manual_seed(0)


def serve(unit: Callable[[], Mapping[str, float]], device: str = "cpu", **about: Any) -> None:
    """Work until stdin ends.

    Args:
        unit: Does one unit of work. Returns part → seconds.
        device: cpu or cuda, whose peak memory is reported: that of the start once, and that of the work after it.
        about: What else to report once, such as the number of trained parameters.
    """
    with os.fdopen(int(os.environ[ANSWERS]), "w", encoding="utf-8") as answers:

        def answer(values: Mapping[str, Any]) -> None:
            answers.write(json.dumps(values) + "\n")
            answers.flush()

        machine = gpu() if device == "cuda" else {}
        answer({"versions": versions(), "start_peak_bytes": peak_memory(device)} | machine | about)
        forget_peak(device)
        for _ in sys.stdin:
            seconds = dict(unit())
            answer({"seconds": seconds, "peak_bytes": peak_memory(device)})


def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that are installed here."""
    installed = {}
    for name in LIBRARIES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {"python": platform.python_version()} | installed


def gpu() -> dict[str, str]:
    import torch

    return {"gpu": torch.cuda.get_device_name()}


def peak_memory(device: str) -> int:
    """Peak memory in bytes: of the GPU's allocator, or, on CPU, the resident memory of this process.

    On Linux the kernel's own counter is read: `ru_maxrss` begins with the memory of the process that started this one.
    """
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
    with open("/proc/self/status", encoding="ascii") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def forget_peak(device: str) -> None:
    """Let `peak_memory` begin anew. Random weights take more memory while they are drawn than while they are used."""
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux":
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")  # some kernels lack it: then the start counts, too
