"""The folder of a run: its name, and what is kept in it.

<default_root_dir>/<run_name>/
    config.yaml                    the resolved config of fit, config-2.yaml of its resumption, config-<verb>.yaml
    checkpoints/best.ckpt          by val/score; and last.ckpt
    metrics.json                   results of each verb (results.py)
    learning_curve.png             (history.py)
    predictions.jsonl
    logs/history.jsonl             training loss, learning rate and validation metrics over optimizer steps (history.py)
    logs/results.jsonl             every result (results.py)
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

from lit_compacter.errors import UserError
from lit_compacter.runtime.launch import is_one_of_several
from lit_compacter.runtime.rank import is_first_process
from lit_compacter.utils.atomic import written_whole

CONFIG = "config.yaml"
METRICS = "metrics.json"
CURVE = "learning_curve.png"
PREDICTIONS = "predictions.jsonl"
CHECKPOINTS = "checkpoints"
BEST, LAST = "best.ckpt", "last.ckpt"  # in it
LOGS = "logs"
HISTORY, RESULTS = f"{LOGS}/history.jsonl", f"{LOGS}/results.jsonl"
LOCK = ".lock"  # held while a run trains
RESULTS_LOCK = ".results.lock"  # held for the moment in which results are written
RUN_NAME = "LIT_COMPACTER_RUN_NAME"  # how processes that Lightning launches learn the name the first one chose


class RunFolder(contextlib.AbstractContextManager["RunFolder"]):
    """The folder of a run, as one start of it has it: until its end no other's to train in; gone if it never began.

    Args:
        root: Folder of all runs.
        name: What the user asked for: an existing folder is meant to be used again. None: a new name with time stamp
            and task.
        task: Name of the task.
        trains: No other may train in it meanwhile. Of processes launched together the first has it for all.

    Raises:
        UserError: The folder cannot be made or written, the name is none, or another run trains in it.
    """

    def __init__(self, root: Path, name: str | None, task: str, trains: bool) -> None:
        self.path, fresh = _reserve(root, name, task)
        self.lock = _take(self.path) if trains and is_first_process() else None
        self.fresh = fresh
        self.began = False
        self.config = self.path / CONFIG  # this start's, once it has begun
        self.logs: list[Path] = []  # the folders of this start's loggers

    def log_to(self, verb: str) -> list[Logger]:
        """The loggers of a run that was given none."""
        kinds = {"tensorboard": TensorBoardLogger, "csv": CSVLogger}
        logs, version = self.path / LOGS / verb, 0
        if is_first_process():  # which logs for all
            with results_lock(self.path):  # Lightning looks for a free number when it first logs, and then overwrites
                while any((logs / name / f"version_{version}").exists() for name in kinds):
                    version += 1
                self.logs = [logs / name / f"version_{version}" for name in kinds]
                for folder in self.logs:
                    folder.mkdir(parents=True)
        return [logger(logs, name=name, version=version) for name, logger in kinds.items()]

    def begin(self, config: str, verb: str = "fit") -> None:
        """The model is built and the run really starts: keep its resolved config."""
        if is_first_process() and not self.began:
            self.path.mkdir(exist_ok=True)  # another start that failed may have thought it was its own
            with results_lock(self.path):
                first = self.path / CONFIG
                of_verb = first if verb == "fit" else first.with_stem(f"{first.stem}-{verb}")
                self.config = free_path(of_verb) if first.exists() else first
                with written_whole(self.config) as temporary:
                    temporary.write_text(config)
        self.began = True

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if error is not None and not self.began:
            self._remove()
        if self.lock:
            self.lock.release()

    def _remove(self) -> None:
        """Remove what this start has made, and nothing that another one may have."""
        for folder in self.logs:
            shutil.rmtree(folder, ignore_errors=True)
            _remove_empty(folder.parents[:3])  # of the logger, the verb, and all
        if self.fresh:
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
    """Create the run's folder, or find the one that the launching process created.

    Returns:
        The folder, and whether it is empty and this process's to remove.
    """
    if name is not None and (name.startswith("-") or "/" in name or not name.isprintable() or not name.strip(" .")):
        raise UserError(f"--run_name {name!r} is not a folder name; expected letters, digits, - and _, no slashes")
    launched = is_one_of_several()
    if launched and RUN_NAME in os.environ:
        return root / os.environ[RUN_NAME], False
    if launched and name is None:
        raise UserError("several processes were launched that cannot agree on a new run folder: give --run_name")
    wanted = name or f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{task}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        there = (root / wanted).exists()
        folder = _make(root / wanted, reuse=name is not None)
        with TemporaryFile(dir=folder):  # can it be written?
            pass
        # Of processes that were launched together any may have made it; the first one removes it.
        fresh = is_first_process() and (launched or name is None or not there) and not any(folder.iterdir())
    except OSError as error:
        raise UserError(
            f"cannot write the run folder {root / wanted}: {error.strerror}; "
            "choose another --trainer.default_root_dir or --run_name"
        ) from error
    os.environ[RUN_NAME] = folder.name
    return folder, fresh


def _make(wanted: Path, reuse: bool) -> Path:
    for attempt in count(1):
        folder = wanted if attempt == 1 else wanted.with_name(f"{wanted.name}-{attempt}")
        try:
            folder.mkdir(exist_ok=reuse)  # atomic: two runs started at once get two folders
            return folder
        except FileExistsError:
            if reuse:
                raise
    raise AssertionError("count() does not end")


def _take(folder: Path) -> FileLock:
    taken = FileLock(folder / LOCK)
    try:
        taken.acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"another process trains in the run folder {folder}; give another --run_name") from error
    return taken


def refuse_checkpoints(folder: Path, resumed: str | None) -> None:
    """Raise UserError where the folder has checkpoints of an earlier fit that the one resumed from is none of."""
    own = folder / CHECKPOINTS
    goes_on = resumed is not None and Path(resumed).resolve().parent == own.resolve()
    if not goes_on and any(own.glob("*.ckpt")):
        raise UserError(
            f"the run folder {folder} holds checkpoints of an earlier fit; go on from them with --ckpt_path last, "
            "or choose another --run_name"
        )


def free_path(path: Path) -> Path:
    """`path`, or `path` with the first number from 2 that makes it new; under `results_lock` it stays so."""
    if not path.exists():
        return path
    return next(p for i in count(2) if not (p := path.with_stem(f"{path.stem}-{i}")).exists())


def results_lock(folder: Path) -> FileLock:
    """Of two runs that write into `folder` at once the second waits, so none overwrites what the other has written."""
    return FileLock(folder / RESULTS_LOCK)


def find_checkpoint(given: str | None, folder: Path | None, may_begin: bool) -> str | None:
    """The file that --ckpt_path means: a path, or `best` or `last` of the run's own folder.

    None for None, and where there is no `last` yet and the run `may_begin`: so one command serves the first start and
    every other.

    Raises:
        UserError: There is none.
    """
    if given is None:
        return None
    if "://" in given:
        raise UserError(f"--ckpt_path {given} is a URL; download the file, then give its path")
    path = Path(given)
    if given in ("best", "last"):
        if folder is None:
            raise UserError(f"--ckpt_path {given} is a checkpoint of the run's own folder: it needs --run_name")
        path = folder / CHECKPOINTS / f"{given}.ckpt"
        if given == "last" and may_begin and not path.exists():
            return None
    if not path.is_file():
        near = sorted(str(p) for p in (path if path.is_dir() else path.parent).glob("*.ckpt"))
        hint = (
            f"; there are {', '.join(near)}"
            if near
            else "; expected the path of a .ckpt file, or best or last with --run_name"
        )
        raise UserError(f"no checkpoint {path}{hint}")
    return str(path)
