"""Where the checkpoints of a run are, and what `--ckpt_path` means."""

from pathlib import Path

from lit_compacter.errors import UserError

CHECKPOINTS = "checkpoints"  # the folder in the run directory
BEST, LAST = "best.ckpt", "last.ckpt"


def runs_dir(default_root_dir: str | None) -> Path:
    """The directory of all runs: `trainer.default_root_dir`, or the working directory for None."""
    return Path(default_root_dir or ".")


def find_checkpoint(
    given: str | None, default_root_dir: str | None, run_name: str | None, may_start_new: bool = False
) -> str | None:
    """Find the file that `--ckpt_path` refers to: a path, or `best` or `last` in the run's directory.

    Args:
        given: The option's value.
        default_root_dir: The value of `trainer.default_root_dir`.
        run_name: The value of `--run_name`.
        may_start_new: Whether `last` may be absent, so that one command serves the first start and every restart.

    Returns:
        The path; None if `given` is None, or if `last` is absent and `may_start_new` is true.

    Raises:
        UserError: There is no such file.
    """
    if given is None:
        return None
    if "://" in given:
        raise UserError(f"--ckpt_path {given} is a URL; download the file, then give its path")
    path = Path(given)
    if given in ("best", "last"):
        if not run_name:
            raise UserError(f"--ckpt_path {given} is a checkpoint of the run's own folder: it needs --run_name")
        path = runs_dir(default_root_dir) / run_name / CHECKPOINTS / f"{given}.ckpt"
        if given == "last" and may_start_new and not path.exists():
            return None
    if not path.is_file():
        existing = sorted(str(p) for p in (path if path.is_dir() else path.parent).glob("*.ckpt"))
        hint = (
            f"; there are {', '.join(existing)}"
            if existing
            else "; expected the path of a .ckpt file, or best or last with --run_name"
        )
        raise UserError(f"no checkpoint {path}{hint}")
    return str(path)


def refuse_existing_checkpoints(run_dir: Path, resumed: str | None) -> None:
    """Raise UserError if the directory holds checkpoints of an earlier fit and `resumed` is not one of them."""
    folder = run_dir / CHECKPOINTS
    resumes_here = resumed is not None and Path(resumed).resolve().parent == folder.resolve()
    if not resumes_here and any(folder.glob("*.ckpt")):
        raise UserError(
            f"the run folder {run_dir} holds checkpoints of an earlier fit; resume it with --ckpt_path last, or choose "
            "another --run_name"
        )
