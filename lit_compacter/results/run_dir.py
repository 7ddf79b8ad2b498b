"""The directory of a run: its name and its contents.

<default_root_dir>/<run_name>/
    config.yaml                    the resolved config of fit, config-2.yaml of a resumed fit, config-<verb>.yaml
    checkpoints/best.ckpt          best by val/score; also last.ckpt
    metrics.json                   results of each verb, and what fit took (metrics_file.py, resources.py)
    test_predictions.jsonl         the outcome of each test example (metrics_file.py); also validate_predictions.jsonl
    learning_curve.png             (learning_curve.py)
    predictions.jsonl              (predictions.py)
    <verb>-profile.txt             the report of trainer.profiler
    logs/history.jsonl             training loss, learning rate and validation metrics by optimizer step
    logs/results.jsonl             every result (metrics_file.py)
    logs/<verb>/{csv,tensorboard}/version_0/   a resumed run adds version_1
"""

import contextlib
import os
import shutil
from collections.abc import Iterable
from datetime import datetime
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from filelock import FileLock, Timeout
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger
from pytorch_lightning.profilers import PassThroughProfiler, Profiler

from lit_compacter.checkpoints.paths import CHECKPOINTS
from lit_compacter.errors import UserError
from lit_compacter.runtime.launch import is_one_of_several
from lit_compacter.runtime.rank import is_rank_zero
from lit_compacter.utils.atomic import atomic_write
from lit_compacter.utils.run_files import CONFIG, LOGS

PROFILE = "profile"
LOCK = ".lock"  # held while a run trains
RESULTS_LOCK = ".results.lock"  # held while results are written
RUN_NAME = "LIT_COMPACTER_RUN_NAME"  # passes the name that rank 0 chose to processes that Lightning launches


class RunDir(contextlib.AbstractContextManager["RunDir"]):
    """The directory of a run, as a context manager: locked during training, removed if the run never started.

    Args:
        root: Directory of all runs.
        name: The value of `--run_name`; an existing directory is reused. None: a new name from time and task.
        task: Name of the task.
        trains: Whether to lock it against other training runs. Rank 0 holds the lock for all processes.

    Raises:
        UserError: The directory cannot be created or written, the name is not valid, or another run trains in it.
    """

    def __init__(self, root: Path, name: str | None, task: str, trains: bool) -> None:
        self.path, self.is_new = _reserve(root, name, task)
        self.lock = _lock(self.path) if trains and is_rank_zero() else None
        self.has_begun = False
        self.config = self.path / CONFIG  # where `begin` writes it
        self.log_dirs: list[Path] = []

    def make_loggers(self, verb: str) -> list[Logger]:
        """TensorBoard and CSV loggers in the directory, under a version number that no other run uses."""
        kinds = {"tensorboard": TensorBoardLogger, "csv": CSVLogger}
        logs, version = self.path / LOGS / verb, 0
        if is_rank_zero():
            with results_lock(self.path):  # Lightning looks for a free number only when it first logs
                while any((logs / name / f"version_{version}").exists() for name in kinds):
                    version += 1
                self.log_dirs = [logs / name / f"version_{version}" for name in kinds]
                for folder in self.log_dirs:
                    folder.mkdir(parents=True)
        return [logger(logs, name=name, version=version) for name, logger in kinds.items()]

    def collect_profile(self, profiler: Profiler) -> None:
        """Make a profiler write its report to a file here, instead of printing it in lines of 200 characters."""
        if not isinstance(profiler, PassThroughProfiler) and not profiler.filename:
            number = next(i for i in count(1) if not [*self.path.glob(f"*-{_numbered(PROFILE, i)}*.txt")])
            profiler.dirpath = profiler.dirpath or self.path
            profiler.filename = _numbered(PROFILE, number)

    def begin(self, config: str, verb: str = "fit") -> None:
        """Write the resolved config. Called once the model is built and the run really starts."""
        if is_rank_zero() and not self.has_begun:
            self.path.mkdir(exist_ok=True)  # another start that failed may have removed it
            with results_lock(self.path):
                first = self.path / CONFIG
                of_verb = first if verb == "fit" else first.with_stem(f"{first.stem}-{verb}")
                self.config = free_path(of_verb) if first.exists() else first
                with atomic_write(self.config) as temporary:
                    temporary.write_text(config)
        self.has_begun = True

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if error is not None and not self.has_begun:
            self._remove()
        if self.lock:
            self.lock.release()

    def _remove(self) -> None:
        """Remove what this start created, but nothing that another start may have created."""
        for folder in self.log_dirs:
            shutil.rmtree(folder, ignore_errors=True)
            _remove_empty(folder.parents[:3])  # of the logger, the verb, and all logs
        if self.is_new:
            (self.path / RESULTS_LOCK).unlink(missing_ok=True)
            if self.lock:
                (self.path / LOCK).unlink(missing_ok=True)
                shutil.rmtree(self.path / CHECKPOINTS, ignore_errors=True)
            _remove_empty([self.path])


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):  # it is not empty
            folder.rmdir()


def _reserve(root: Path, name: str | None, task: str) -> tuple[Path, bool]:
    """Create the run's directory, or find the one that the launching process created.

    Returns:
        The directory, and whether it is new, so that this process may remove it.
    """
    if name is not None and (name.startswith("-") or "/" in name or not name.isprintable() or not name.strip(" .")):
        raise UserError(f"--run_name {name!r} is not a folder name; expected letters, digits, - and _, no slashes")
    launched = is_one_of_several()
    if launched and RUN_NAME in os.environ:
        return root / os.environ[RUN_NAME], False
    if launched and name is None:
        raise UserError("several processes were launched and cannot agree on a new run folder: give --run_name")
    wanted = root / (name or f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{task}")
    try:
        existed = wanted.exists()
        root.mkdir(parents=True, exist_ok=True)
        path = _make_dir(wanted, reuse=name is not None)
        with TemporaryFile(dir=path):  # raises if it cannot be written
            pass
        # Any of several launched processes may have made it; rank 0 removes it.
        is_new = is_rank_zero() and (launched or name is None or not existed) and not any(path.iterdir())
    except OSError as error:
        raise UserError(
            f"cannot write the run folder {wanted}: {error.strerror}; choose another --trainer.default_root_dir or "
            "--run_name"
        ) from error
    os.environ[RUN_NAME] = path.name
    return path, is_new


def _make_dir(wanted: Path, reuse: bool) -> Path:
    if reuse:
        wanted.mkdir(exist_ok=True)
        return wanted
    for path in (wanted.with_name(_numbered(wanted.name, number)) for number in count(1)):
        with contextlib.suppress(FileExistsError):
            path.mkdir()  # atomic: two runs started at once get two directories
            return path
    raise AssertionError("count() does not end")


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def _lock(path: Path) -> FileLock:
    lock = FileLock(path / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"another process trains in the run folder {path}; give another --run_name") from error
    return lock


def free_path(path: Path, first: int = 1) -> Path:
    """Return `path`, or `path` with the first free number from 2. It stays free while `results_lock` is held.

    Args:
        path: A path.
        first: 2 for a number in any case.
    """
    return next(p for i in count(first) if not (p := path.with_stem(_numbered(path.stem, i))).exists())


def results_lock(path: Path) -> FileLock:
    """Lock for writing results to `path`: if two runs write at once, the second one waits."""
    return FileLock(path / RESULTS_LOCK)
