"""Files with rows: on this machine, or wherever fsspec reads (hf://, https://, s3://, gs:// and others)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from lit_compacter.errors import UserError, first_line


@dataclass(frozen=True)
class RemoteFile:
    """A file on another machine, with the part of Path's interface that readers need."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        return Path(urlsplit(self.url).path).name

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix

    def absolute(self) -> "RemoteFile":
        return self

    def open(self, mode: str = "rb") -> BufferedReader:
        """Open the file.

        Raises:
            FileNotFoundError: It does not exist.
            UserError: It cannot be opened.
        """
        import fsspec

        try:
            file: BufferedReader = fsspec.open(self.url, mode).open()
        except FileNotFoundError:
            raise
        except Exception as error:  # file systems raise many types
            raise UserError(f"cannot open {self.url}: {first_line(error)}") from error
        return file


File: TypeAlias = Path | RemoteFile


def find_file(name: str, folder: Path | None = None) -> File:
    """The file of a URL, or of a path relative to a folder. Default: the current one."""
    return RemoteFile(name) if "://" in name else (folder or Path()) / name


@contextmanager
def reading(path: File) -> Iterator[None]:
    """Raise UserError if a file cannot be read."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"no file {path.absolute()}") from error
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or first_line(error)}") from error
    except Exception as error:
        if isinstance(path, Path):
            raise
        raise UserError(f"cannot read {path}: {first_line(error)}") from error  # file systems raise many types
