"""Why a repository of the hub cannot be loaded, and what to do."""

import errno
from typing import Literal, TypeAlias

from huggingface_hub import constants
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

RepoType: TypeAlias = Literal["model", "dataset"]
FOLDER_OPTIONS: dict[RepoType, str] = {
    "model": "give a model's folder, --model.model_name DIR",
    "dataset": "give the benchmark's own files, --data.data_dir DIR",
}
UNAUTHORIZED, FORBIDDEN, TOO_MANY_REQUESTS, SERVER_ERROR = 401, 403, 429, 500
NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)


def cannot_load(repo_type: RepoType, repo_id: str, revision: str, error: Exception) -> UserError:
    """The error for a repository that cannot be loaded."""
    reason, advice = diagnose(repo_type, repo_id, revision, error)
    return UserError(f"cannot load the {repo_type} {repo_id}: {reason}; {advice}")


def diagnose(repo_type: RepoType, repo_id: str, revision: str, error: Exception) -> tuple[str, str]:
    """Why a repository cannot be loaded, and what to do."""
    hub = constants.ENDPOINT
    page = f"{hub}/{'datasets/' if repo_type == 'dataset' else ''}{repo_id}"
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
    log_in = "log in with `hf auth login` or set HF_TOKEN"
    if isinstance(error, GatedRepoError):  # a RepositoryNotFoundError too
        return "access to it is restricted", f"ask for access on {page}, then {log_in}"
    if isinstance(error, RepositoryNotFoundError):
        return f"{hub} has no {repo_type} of this name, or it is private", f"check the name; for a private one {log_in}"
    if isinstance(error, RevisionNotFoundError):
        return f"it has no revision {revision!r}", f"give a branch, a tag or a full commit hash of {page}"
    if isinstance(error, RemoteEntryNotFoundError):
        return "it lacks a file that is needed", f"check the name on {page}"
    if isinstance(error, HFValidationError):
        return first_line(error), FOLDER_OPTIONS[repo_type]
    if status in (UNAUTHORIZED, FORBIDDEN):
        return (
            f"{hub} refuses the access token",
            "set HF_TOKEN to a valid one, log in with `hf auth login`, or unset it",
        )
    if status == TOO_MANY_REQUESTS:
        return f"{hub} has answered {status}, too many requests", f"try again later; to raise the limit {log_in}"
    if status >= SERVER_ERROR:
        return f"{hub} has answered {status}, a fault of its own", "try again later"
    cache = f"the cache (HF_HOME, now {constants.HF_HUB_CACHE})"
    if isinstance(error, OSError) and error.errno in NOT_WRITABLE:
        return f"{cache} cannot be written", "set HF_HOME to a folder that can"
    fill = (
        f"fill {cache} on a machine with a network by `download` with the same options, or {FOLDER_OPTIONS[repo_type]}"
    )
    if isinstance(error, OfflineModeIsEnabled):
        return f"the cache lacks it at revision {revision!r}", f"HF_HUB_OFFLINE is set: unset it, or {fill}"
    return (
        f"the connection to {hub} has failed ({first_line(error)})",
        f"check it, or set HF_ENDPOINT to a mirror; without a network, set HF_HUB_OFFLINE=1 and {fill}",
    )
