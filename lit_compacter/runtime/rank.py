"""Which of several processes this is. It imports nothing that takes long: whoever asks may be the first line to run."""

import os


def is_first_process() -> bool:
    """Is this the process that writes and speaks for all, also before a trainer is there to ask?"""
    # As torchrun and Lightning number what they start; within a SLURM job too, whose own number may be another.
    numbers = [os.environ[name] for name in ("RANK", "LOCAL_RANK") if name in os.environ]
    return set(numbers or [os.environ.get("SLURM_PROCID", "0")]) == {"0"}
