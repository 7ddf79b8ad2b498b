"""Cells on this machine, several at a time."""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from queue import SimpleQueue

from lit_compacter.studies.engines.base import Listener
from lit_compacter.studies.folder import StudyFolder
from lit_compacter.studies.job import Job, run_job


class LocalEngine:
    """Runs cells as processes of this machine.

    Args:
        num_jobs: How many at a time. If several, they share the CPU's cores, and each has one of the GPUs. A single one
            has all of them.
    """

    def __init__(self, num_jobs: int = 1) -> None:
        self.num_jobs = num_jobs

    def run(self, jobs: Sequence[Job], folder: StudyFolder, listener: Listener) -> bool:
        environments: SimpleQueue[dict[str, str]] = SimpleQueue()  # one for each job at a time
        for number in range(self.num_jobs):
            environments.put(self._environment(number))
        stop = threading.Event()

        def work(job: Job) -> None:
            env = environments.get()
            listener.started(job.cell)
            listener.ended(job.cell, run_job(job, folder, env, stop.is_set))
            environments.put(env)

        with ThreadPoolExecutor(self.num_jobs) as pool:
            try:
                for future in as_completed([pool.submit(work, job) for job in jobs]):
                    future.result()
            except BaseException:  # also of a stop signal; leaving the block waits for the cells
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return True

    def _environment(self, number: int) -> dict[str, str]:
        """Variables for the processes of the number-th job at a time."""
        if self.num_jobs == 1:
            return {}
        import torch  # here, because its import takes seconds

        env = {"OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // self.num_jobs))}
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        gpus = visible.split(",") if visible else [str(gpu) for gpu in range(torch.cuda.device_count())]
        return env | ({"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {})
