"""Reading and writing checkpoint files."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch.serialization import get_unsafe_globals_in_checkpoint

from lit_compacter.checkpoints.format import FORMAT, METADATA_KEY
from lit_compacter.errors import UserError, first_line
from lit_compacter.utils.atomic import atomic_write


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Load a checkpoint on the CPU with `weights_only=True`: it can hold tensors and plain values only.

    Raises:
        UserError: There is no such file, it is damaged, or it is not a checkpoint of this program and format.
    """
    try:
        with zipfile.ZipFile(path) as parts:
            if damaged := parts.testzip():  # torch writes checksums but does not verify them
                raise zipfile.BadZipFile(f"{damaged} is damaged")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"no checkpoint {path}") from error
    except Exception as error:  # torch's zip and pickle readers raise many types
        raise UserError(
            f"{path} is not a complete checkpoint (it is truncated, damaged or another kind of file); use another"
        ) from error
    if not isinstance(checkpoint, dict) or METADATA_KEY not in checkpoint:
        raise UserError(f"{path} was not written by lit-compacter: it has no {METADATA_KEY!r} entry")
    if (found := checkpoint[METADATA_KEY].get("format")) != FORMAT:
        raise UserError(f"{path} has format {found}, this version reads format {FORMAT}; use the version that wrote it")
    return checkpoint


class AdapterCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints atomically, and never unpickles anything but tensors and plain values."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a temporary file, flush it to the disk, then rename it to `path`.

        Raises:
            UserError: The disk is full, the folder is not writable, or a callback's state could not be read back.
        """
        path = Path(path)
        check_readable(checkpoint.get("callbacks", {}))
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with atomic_write(path) as temporary, temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError on a full disk
            raise UserError(
                f"cannot write {path}: {first_line(error)}; the previous file is unchanged. Is the disk full? "
                "Free some space, then resume with --ckpt_path last"
            ) from error

    def load_checkpoint(
        self, path: str | Path, map_location: Callable[..., Any] | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Call `read_checkpoint`, whatever `weights_only` says. Tensors move to their device when they are copied."""
        return read_checkpoint(path)


def check_readable(callbacks: Mapping[str, Any]) -> None:
    """Refuse to write what `read_checkpoint` could not read: objects other than tensors and plain values.

    Args:
        callbacks: Name → state.

    Raises:
        UserError: A callback keeps such an object; the message names both.
    """
    for name, state in callbacks.items():
        file = io.BytesIO()
        try:
            torch.save(state, file)
            file.seek(0)
            torch.load(file, weights_only=True)
        except Exception as error:  # pickle raises many types
            file.seek(0)
            unsafe = isinstance(error, pickle.UnpicklingError)
            found = ", ".join(sorted(get_unsafe_globals_in_checkpoint(file))) if unsafe else first_line(error)
            raise UserError(
                f"the state of callback {name!r} cannot be kept in a checkpoint: it has {found}; its state_dict must "
                "return tensors and plain values only, such as float(x) for a numpy number or str(x) for a path"
            ) from error
