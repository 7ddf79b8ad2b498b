"""The peak memory of this process."""

import resource
import sys

import torch

MB = 2**20


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in MB: of the GPU's allocator, or on a CPU the resident memory of this process.

    On Linux the kernel's own counter is read: `ru_maxrss` begins with the memory of the process that started this one.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MB
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MB  # bytes on macOS
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 / MB for line in status if line.startswith("VmHWM:"))
