"""The rank of this process. This module has no slow imports, because `main.py` needs it before importing torch."""

import os


def is_rank_zero() -> bool:
    """Whether this process writes files and prints for all processes of the run.

    Reads the environment, so it also works before a trainer exists: `RANK` and `LOCAL_RANK` of torchrun and Lightning
    first, because within a SLURM job they may differ from `SLURM_PROCID`.
    """
    ranks = [os.environ[name] for name in ("RANK", "LOCAL_RANK") if name in os.environ]
    return set(ranks or [os.environ.get("SLURM_PROCID", "0")]) == {"0"}
