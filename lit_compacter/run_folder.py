"""The folder of a run: its name, and what is kept in it.

<default_root_dir>/<run_name>/
    config.yaml                    the resolved config of the run's first verb (config-2.yaml, … of later ones)
    checkpoints/best.ckpt          by val/score; and last.ckpt
    logs/<verb>/{csv,tensorboard}/version_0/   a resumed run adds version_1
    metrics.json                   final metrics of each verb
    learning_curve.png
    predictions.jsonl
"""

import json
import os
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pytorch_lightning.utilities import rank_zero_only

from lit_compacter.errors import UserError
from lit_compacter.whole import written_whole

CONFIG = "config.yaml"
METRICS = "metrics.json"
CURVE = "learning_curve.png"
PREDICTIONS = "predictions.jsonl"
CHECKPOINTS = "checkpoints"
LOGS = "logs"
LOCK = ".lock"
RUN_NAME = "LIT_COMPACTER_RUN_NAME"  # how processes that Lightning launches learn the name the first one chose


def reserve(root: Path, name: str | None, task: str) -> tuple[Path, bool]:
    """Create the run's folder, or find the one that the launching process created.

    Args:
        root: Folder of all runs.
        name: What the user asked for: an existing folder is meant to be used again. None: a new name with time stamp
            and task.
        task: Name of the task.

    Returns:
        The folder, and whether it is this process's own and empty, so that nobody misses it if the run never begins.

    Raises:
        UserError: The folder cannot be made or written, or the name is none.
    """
    if name is not None and (not name or Path(name).name != name):
        raise UserError(f"--run_name {name!r} is not a folder name; expected one without slashes, not . or ..")
    launched = "LOCAL_RANK" in os.environ or int(os.environ.get("SLURM_NTASKS", "1")) > 1
    if launched and RUN_NAME in os.environ:
        return root / os.environ[RUN_NAME], False
    if launched and name is None:
        raise UserError("several processes were launched that cannot agree on a new run folder: give --run_name")
    wanted = name or f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{task}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        there = (root / wanted).exists()
        folder = _make(root / wanted, reuse=name is not None)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
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
    """`path`, or `path` with the first number from 2 that makes it new."""
    if not path.exists():
        return path
    return next(p for i in count(2) if not (p := path.with_stem(f"{path.stem}-{i}")).exists())


def is_first_process() -> bool:
    """Is this the process that writes for all, also before a trainer is there to ask?"""
    return not rank_zero_only.rank  # type: ignore[attr-defined]


def lock(folder: Path) -> FileLock | None:
    """Take the folder for this run until the lock is released or the process dies; the first process has it for all.

    Raises:
        UserError: Another run has it.
    """
    if not is_first_process():
        return None
    taken = FileLock(folder / LOCK)
    try:
        taken.acquire(timeout=0)
    except Timeout as error:
        raise UserError(f"another process trains in the run folder {folder}; give another --run_name") from error
    return taken


def find_checkpoint(given: str, folder: Path | None, may_begin: bool) -> str | None:
    """The file that --ckpt_path means: a path, or `best` or `last` of the run's own folder.

    None where there is no `last` yet and the run `may_begin`: so one command serves the first start and every other.

    Raises:
        UserError: There is none.
    """
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
        near = sorted(str(p) for p in (path.parent if path.parent.is_dir() else path).glob("*.ckpt"))
        hint = (
            f"; there are {', '.join(near)}"
            if near
            else "; expected the path of a .ckpt file, or best or last with --run_name"
        )
        raise UserError(f"no checkpoint {path}{hint}")
    return str(path)


def add_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    """Merge `metrics` into the folder's metrics.json."""
    path = folder / METRICS
    known = json.loads(path.read_text()) if path.exists() else {}
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(known | metrics, indent=2) + "\n")
