"""Cells on a Ray cluster."""

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from lit_compacter.errors import UserError, first_line
from lit_compacter.runtime.signals import set_stop_handler, stop_at_once
from lit_compacter.studies.engines.base import EngineOptions, Listener
from lit_compacter.studies.folder import StudyFolder
from lit_compacter.studies.job import POLL_S, Job, Outcome, run_job

ADDRESS = "RAY_ADDRESS"  # Ray's own name for the address of the cluster
TIMEOUT_S = 10
# A cell goes on at its last checkpoint, so that another try is cheap; but what kills each worker has to end.
MAX_RETRIES = 10
# Variables of one machine or process, which a worker has values of its own for.
OWN_VARIABLES = ("RAY_", "SLURM_")
OWN_DEVICES = "_VISIBLE_DEVICES"


class Interrupted(Exception):
    """A cell was told to stop by something else than its study, as on a machine that is taken away."""


class RayEngine:
    """Runs cells on the cluster that RAY_ADDRESS names, else on one of its own on this machine.

    All machines share the study's folder, the working directory and the Python environment.

    Args:
        options: How many cells at a time, and what each of them reserves.

    Raises:
        UserError: Ray is not installed.
    """

    def __init__(self, options: EngineOptions) -> None:
        try:
            import ray  # noqa: F401
        except ImportError as error:
            raise UserError("--engine ray needs the library ray: pip install 'lit-compacter[ray]'") from error
        self.options = options

    def run(self, jobs: Sequence[Job], folder: StudyFolder, listener: Listener) -> bool:
        signals: list[int] = []

        def remember(number: int, _: Any) -> None:  # and raise nothing, which Ray would catch while it is called
            signals.append(number)

        set_stop_handler(remember)
        try:
            connect()
            set_stop_handler(remember)  # Ray has replaced it
            self._run(jobs, folder, listener, signals)
        finally:
            set_stop_handler(stop_at_once)
        if signals:
            stop_at_once(signals[0], None)
        return True

    def _run(self, jobs: Sequence[Job], folder: StudyFolder, listener: Listener, signals: Sequence[int]) -> None:
        """Run all jobs; after a signal, stop them, and after a second one, do not wait for them."""
        import ray

        needs = self._needs()
        options: dict[str, Any] = {
            "num_cpus": needs["CPU"],
            "num_gpus": needs["GPU"],
            "max_retries": MAX_RETRIES,
            "retry_exceptions": [Interrupted],
        }
        task: Any = ray.remote(**options)(run_on_worker)
        # The cells go on as long as this file exists: opening a file shows its removal on all machines at once.
        permit = folder.locks / f"ray-{uuid4().hex}"
        folder.locks.mkdir(exist_ok=True)
        permit.touch()
        env = {"OMP_NUM_THREADS": str(self.options.cpus_per_job)} | environment()
        if not needs["GPU"]:  # Ray hides the GPUs only from those that reserve others
            env["CUDA_VISIBLE_DEVICES"] = ""
        shared = ray.put((folder, Path.cwd(), env, permit.absolute()))
        left, running = deque(jobs), dict[Any, Job]()
        try:
            while (running and len(signals) < 2) or (left and not signals):
                while left and not signals and len(running) < (self.options.jobs or max(1, _num_cells(needs))):
                    job = left.popleft()
                    running[task.remote(job, shared)] = job
                    listener.started(job.cell)
                for ref in ray.wait(list(running), num_returns=len(running), timeout=0)[0]:
                    listener.ended(running.pop(ref).cell, _outcome(ref))
                if signals:
                    permit.unlink(missing_ok=True)
                time.sleep(POLL_S)
        finally:
            permit.unlink(missing_ok=True)

    def _needs(self) -> dict[str, float]:
        """What a cell reserves.

        Raises:
            UserError: No machine of the cluster has it.
        """
        import ray

        gpus = self.options.gpus_per_job
        if gpus is None:
            gpus = min(1, ray.cluster_resources().get("GPU", 0))
        needs = {"CPU": float(self.options.cpus_per_job), "GPU": float(gpus)}
        if not (self.options.jobs or _num_cells(needs)):
            raise UserError(
                f"no machine of the Ray cluster has --cpus_per_job {self.options.cpus_per_job} and --gpus_per_job "
                f"{gpus:g}; lower them, or give --jobs to wait for more machines"
            )
        return needs


def connect() -> None:
    """Connect to the cluster that RAY_ADDRESS names, or start one that ends with this process; at once if connected.

    Raises:
        UserError: The cluster does not answer.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # Ray reports to its makers otherwise
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a warning of a change to come
    import ray

    if ray.is_initialized():
        return
    address = os.environ.get(ADDRESS)
    try:
        host, colon, port = (address or "").rpartition(":")
        if colon:
            socket.create_connection((host, int(port)), TIMEOUT_S).close()  # Ray itself would wait for minutes
        ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"cannot use the Ray cluster of {ADDRESS}={address}: {first_line(error)}; expected the HOST:PORT that "
            f"ray start --head prints on a machine of the cluster; without {ADDRESS}, a cluster is started here"
        ) from error


def environment() -> dict[str, str]:
    """The variables of this process that its cells have on all machines."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(OWN_VARIABLES) and not name.endswith(OWN_DEVICES)
    }


def run_on_worker(job: Job, shared: tuple[StudyFolder, Path, Mapping[str, str], Path]) -> Outcome:
    """Run a job in a process of the cluster.

    Raises:
        Interrupted: The cell has stopped, but the study goes on. Ray tries again, perhaps on another machine.
    """
    folder, working_directory, env, permit = shared
    os.chdir(working_directory)

    def should_stop() -> bool:
        try:
            permit.open().close()
        except OSError:
            return True
        return False

    outcome = run_job(job, folder, env, should_stop)
    if outcome.state == "stopped" and not should_stop():
        raise Interrupted(f"{job.cell.name} was stopped by another program")
    return outcome


def _num_cells(needs: Mapping[str, float]) -> int:
    """How many cells the machines have room for, if nothing else runs there."""
    import ray

    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(
        min(int(machine.get(name, 0) / number) for name, number in needs.items() if number) for machine in machines
    )


def _outcome(ref: Any) -> Outcome:
    import ray

    try:
        outcome: Outcome = ray.get(ref)
    except ray.exceptions.RayError as error:
        return Outcome("failed", error=f"Ray: {str(error).strip().splitlines()[-1]}")
    return outcome
