"""Repositories of the Hugging Face hub: which commit a revision means, and its files in the local cache."""

import errno
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal, TypeAlias

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from lit_compacter.errors import UserError, first_line
from lit_compacter.utils.console import console

Kind: TypeAlias = Literal["model", "dataset"]
# The file by which a revision is found in the cache, and which each of our repositories has.
DESCRIPTION: dict[Kind, str] = {"model": "config.json", "dataset": "README.md"}
FOLDER_OPTION: dict[Kind, str] = {
    "model": "give a model's folder, --model.model_name DIR",
    "dataset": "give the benchmark's own files, --data.data_dir DIR",
}
ANSWER_TIMEOUT_S = 8  # huggingface_hub would wait for minutes
RETRY_WAITS_S = (1, 3)  # after 429 and 5xx
TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500
is_silent = threading.Event()  # set once the hub has not answered
PLAIN: dict[str, Any] = {"highlight": False, "soft_wrap": True}


@dataclass(frozen=True)
class Repository:
    """A repository at one commit.

    Attributes:
        kind: "model" or "dataset".
        name: Such as `google-t5/t5-base`.
        commit: The full commit hash.
        files: Paths of its files; if the hub cannot be reached, of those that are in the cache.
        folder: Where its files are in the cache.
        is_cached_copy: Whether the hub could not be reached.
    """

    kind: Kind
    name: str
    commit: str
    files: frozenset[str]
    folder: Path
    is_cached_copy: bool

    def download(self, patterns: Sequence[str]) -> Path:
        """Download the files that match the patterns, unless they are cached.

        Returns:
            The folder that holds them.

        Raises:
            UserError: A download fails, or the repository or its copy in the cache has no such files.
        """
        wanted = sorted(file for file in self.files if any(fnmatch(file, pattern) for pattern in patterns))
        if not wanted:
            place = "its copy in the cache" if self.is_cached_copy else "the hub"
            raise UserError(f"cannot load the {self.kind} {self.name}: {place} has no {' or '.join(patterns)}")
        if not all((self.folder / file).exists() for file in wanted):
            try:
                snapshot_download(self.name, repo_type=self.kind, revision=self.commit, allow_patterns=wanted)
            except Exception as error:  # of huggingface_hub, its HTTP client and the disk
                raise _cannot_load(self.kind, self.name, self.commit, error) from error
        return self.folder


def if_damaged(folder: Path) -> str:
    """What to do if the files in a repository's folder may be damaged."""
    repository = folder.parents[1]  # folder is <repository>/snapshots/<commit>, links to <repository>/blobs
    return f"if its files in the cache are damaged, delete {repository} and start again"


@lru_cache
def find_repository(kind: Kind, name: str, revision: str | None) -> Repository:
    """Find the commit that a revision means: on the hub or, if it cannot be reached, in the cache.

    Every call in a process gives the same commit.

    Args:
        kind: "model" or "dataset".
        name: Such as `google-t5/t5-base`.
        revision: Branch, tag or full commit hash. Default: the main branch.

    Raises:
        UserError: The hub refuses, or it cannot be reached and the cache does not have the revision.
    """
    revision = revision or constants.DEFAULT_REVISION
    try:
        files = _list_files(kind, name, revision)
        folder = Path(hf_hub_download(name, DESCRIPTION[kind], repo_type=kind, revision=revision)).parent
        return Repository(kind, name, folder.name, files, folder, is_cached_copy=False)
    except Exception as error:  # the HTTP client's types are not the same in all versions of huggingface_hub
        is_final = isinstance(error, RevisionNotFoundError | HFValidationError)
        cached = (
            None if is_final else try_to_load_from_cache(name, DESCRIPTION[kind], repo_type=kind, revision=revision)
        )
        if not isinstance(cached, str):
            raise _cannot_load(kind, name, revision, error) from error
        folder = Path(cached).parent
        if not isinstance(error, OfflineModeIsEnabled):
            reason, _ = _diagnose(kind, name, revision, error)
            warnings.warn(
                f"{reason}; using {name} from the cache, commit {folder.name[:7]} (HF_HUB_OFFLINE=1 does so at once)",
                stacklevel=2,
            )
    files = frozenset(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return Repository(kind, name, folder.name, files, folder, is_cached_copy=True)


def _list_files(kind: Kind, name: str, revision: str) -> frozenset[str]:
    """Ask the hub for the files of a revision; if it is overloaded, ask again."""
    for wait in (0, *RETRY_WAITS_S):
        time.sleep(wait)
        try:
            if not constants.HF_HUB_OFFLINE:
                console.print(f"looking up {kind} {name} ({revision}) on {constants.ENDPOINT}", **PLAIN)
            info = _ask(kind, name, revision)
            console.print(f"found commit {info.sha}", **PLAIN)
            return frozenset(file.rfilename for file in info.siblings or ())
        except HfHubHTTPError as error:
            status, failed = error.response.status_code, error
            if status != TOO_MANY_REQUESTS and status < SERVER_ERROR:
                raise
    raise failed


def _ask(kind: Kind, name: str, revision: str) -> Any:
    """What the hub says of a revision. A hub that does not answer is not asked again by this process.

    In a thread, because the resolution of host names has no timeout of its own.
    """
    answers: SimpleQueue[Any] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(HfApi().repo_info(name, repo_type=kind, revision=revision, timeout=ANSWER_TIMEOUT_S))
        except Exception as error:  # it is raised below
            answers.put(error)

    if not is_silent.is_set():
        threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=0 if is_silent.is_set() else ANSWER_TIMEOUT_S)
    except Empty:
        is_silent.set()
        raise TimeoutError(f"no answer within {ANSWER_TIMEOUT_S} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _cannot_load(kind: Kind, name: str, revision: str, error: Exception) -> UserError | OSError:
    """The error for a repository that cannot be loaded. A full disk stays an OSError."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return error
    reason, advice = _diagnose(kind, name, revision, error)
    return UserError(f"cannot load the {kind} {name}: {reason}; {advice}")


def _diagnose(kind: Kind, name: str, revision: str, error: Exception) -> tuple[str, str]:
    """Why a repository cannot be loaded, and what to do."""
    hub = constants.ENDPOINT
    page = f"{hub}/{'datasets/' if kind == 'dataset' else ''}{name}"
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
    log_in = "log in with `hf auth login` or set HF_TOKEN"
    if isinstance(error, GatedRepoError):  # a RepositoryNotFoundError too
        return "access to it is restricted", f"ask for access on {page}, then {log_in}"
    if isinstance(error, RepositoryNotFoundError):
        return f"{hub} has no {kind} of this name, or it is private", f"check the name; for a private one {log_in}"
    if isinstance(error, RevisionNotFoundError):
        return f"it has no revision {revision!r}", f"give a branch, a tag or a full commit hash of {page}"
    if isinstance(error, RemoteEntryNotFoundError):
        return f"it has no {DESCRIPTION[kind]}", f"check the name on {page}"
    if isinstance(error, HFValidationError):
        return first_line(error), FOLDER_OPTION[kind]
    if status in (401, 403):
        return (
            f"{hub} refuses the access token",
            "set HF_TOKEN to a valid one, log in with `hf auth login`, or unset it",
        )
    if status == TOO_MANY_REQUESTS:
        return f"{hub} has answered {status}, too many requests", f"try again later; to raise the limit {log_in}"
    if status >= SERVER_ERROR:
        return f"{hub} has answered {status}, a fault of its own", "try again later"
    cache = f"the cache (HF_HOME, {constants.HF_HOME})"
    if isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{cache} cannot be written", "set HF_HOME to a folder that can"
    offline = f"Without a network: fill {cache} with the verb download where there is one, or {FOLDER_OPTION[kind]}"
    if isinstance(error, OfflineModeIsEnabled):
        return f"HF_HUB_OFFLINE is set, and the cache does not have revision {revision!r}", offline
    return (
        f"the connection to {hub} has failed ({first_line(error)})",
        f"check it, or set HF_ENDPOINT to a mirror. {offline}, and set HF_HUB_OFFLINE=1",
    )
