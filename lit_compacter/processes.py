"""Which of several processes this is. It imports nothing that takes long: whoever asks may be the first line to run."""

import os

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # as torchrun, Lightning and SLURM number what they start


def is_first_process() -> bool:
    """Is this the process that writes and speaks for all, also before a trainer is there to ask?"""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)
