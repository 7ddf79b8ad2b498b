"""Repositories of the Hugging Face hub: which commit a revision means, and its files in the local cache."""

import os
import re
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, RevisionNotFoundError

from lit_compacter.errors import DISK_FULL, UserError
from lit_compacter.hub.diagnosis import SERVER_ERROR, TOO_MANY_REQUESTS, RepoType, cannot_load, diagnose
from lit_compacter.utils.console import console

Alternatives: TypeAlias = Sequence[Sequence[str]]  # the patterns of file names of one of these must all match
ANCHORS: dict[RepoType, str] = {"model": "config.json", "dataset": "README.md"}  # a file that each repository has
ANSWER_TIMEOUT_S = float(os.environ.get("HF_HUB_ETAG_TIMEOUT", 8))  # huggingface_hub would wait for minutes
RETRY_WAITS_S = (1, 3)  # after 429 and 5xx
COMMIT = re.compile(r"[0-9a-f]{40}")
SHARD = re.compile(r"(.*)-\d{5}-of-(\d{5})(\..*)")
_timed_out = threading.Event()  # set once the hub has not answered


@dataclass(frozen=True)
class Repository:
    """A repository at one commit.

    Attributes:
        repo_type: "model" or "dataset".
        repo_id: Such as `google-t5/t5-base`.
        anchor: A file that every repository of this sort has.
        token: Access token; None for the one that the user is logged in with.
        commit: The full commit hash.
        folder: Where its files are in the cache.
        files: Paths of its files on the hub; if `from_cache`, of those in the cache.
        from_cache: Whether the hub was not asked, or has not answered.
        problem: Why the hub has not answered.
    """

    repo_type: RepoType
    repo_id: str
    anchor: str
    token: str | None = field(repr=False)
    commit: str
    folder: Path
    files: frozenset[str]
    from_cache: bool = False
    problem: Exception | None = None

    def download(self, *required: Alternatives, optional: Sequence[str] = ()) -> Path:
        """Download files, unless they are cached.

        Args:
            required: Of each, the first alternative whose patterns all match files, with all shards of sharded ones.
            optional: Patterns of further files, which need not exist.

        Returns:
            The folder that holds them.

        Raises:
            UserError: There are no such files, or a download fails.
        """
        wanted = {file for file in self.files if any(_matches(file, pattern) for pattern in optional)}
        for alternatives in required:
            found = next((files for patterns in alternatives if (files := self._select(patterns))), None)
            if found is None and self.from_cache and self.problem is None:  # a commit, for which the hub was not asked
                online = _look_up(self.repo_type, self.repo_id, self.commit, self.anchor, self.token)
                return online.download(*required, optional=optional)
            if found is None:
                raise self._lacks(" or ".join(patterns[0] for patterns in alternatives))
            wanted |= found
        if absent := {file for file in wanted if not (self.folder / file).exists()}:
            self._download(absent)
        return self.folder

    def _select(self, patterns: Iterable[str]) -> set[str]:
        """The files that match the patterns; none if a pattern matches no file, or a shard is missing."""
        found = [{file for file in self.files if _matches(file, pattern)} for pattern in patterns]
        files = set().union(*found)
        shards = Counter(match.groups() for file in files if (match := SHARD.fullmatch(file)))
        is_complete = all(found) and all(number == int(count) for (_, count, _), number in shards.items())
        return files if is_complete else set()

    def _download(self, files: Iterable[str]) -> None:
        options: dict[str, Any] = {"repo_type": self.repo_type, "revision": self.commit, "token": self.token}
        try:
            snapshot_download(self.repo_id, allow_patterns=sorted(files), **options)
            for file in files:  # an older huggingface_hub returns an incomplete folder if the hub does not answer
                (self.folder / file).stat()
        except Exception as error:  # of huggingface_hub, its HTTP client and the disk
            if _is_disk_full(error):
                raise
            raise cannot_load(self.repo_type, self.repo_id, self.commit, error) from error

    def _lacks(self, files: str) -> UserError:
        if self.problem is None:
            return UserError(f"cannot load the {self.repo_type} {self.repo_id}: it has no {files}")
        reason, advice = diagnose(self.repo_type, self.repo_id, self.commit, self.problem)
        return UserError(
            f"cannot load the {self.repo_type} {self.repo_id}: commit {self.commit} in the cache has no {files}, and "
            f"{reason}; {advice}"
        )


def find_repository(
    repo_type: RepoType, repo_id: str, revision: str | None, anchor: str | None = None, token: str | None = None
) -> Repository:
    """Find the commit that a revision means: on the hub or, if it does not answer, in the cache.

    The hub is asked once in a run. It is not asked for a commit that is in the cache.

    Args:
        repo_type: "model" or "dataset".
        repo_id: Such as `google-t5/t5-base`.
        revision: Branch, tag or full commit hash. Default: the main branch.
        anchor: A file that every repository of this sort has. Default: config.json of a model, README.md of a data set.
        token: Access token. Default: the one that the user is logged in with.

    Raises:
        UserError: The hub refuses, or it does not answer and the cache does not have the revision.
    """
    return _find(repo_type, repo_id, revision or constants.DEFAULT_REVISION, anchor or ANCHORS[repo_type], token)


def forget_lookups() -> None:
    """Ask the hub again, also if it has not answered: another run of the same process begins."""
    _find.cache_clear()
    _timed_out.clear()


def damaged_cache_advice(folder: Path) -> str:
    """What to do if files in a repository's folder may be damaged."""
    repository = folder.parents[1]  # folder is <repository>/snapshots/<commit>, with links to <repository>/blobs
    return f"if its files in the cache are damaged, delete {repository} and start again"


@lru_cache
def _find(repo_type: RepoType, repo_id: str, revision: str, anchor: str, token: str | None) -> Repository:
    if COMMIT.fullmatch(revision) and (cached := _find_in_cache(repo_type, repo_id, revision, anchor, token)):
        return cached
    return _look_up(repo_type, repo_id, revision, anchor, token)


def _look_up(repo_type: RepoType, repo_id: str, revision: str, anchor: str, token: str | None) -> Repository:
    options: dict[str, Any] = {"repo_type": repo_type, "token": token}
    try:
        commit, files = _ask_until_answered(repo_type, repo_id, revision, token)
        folder = Path(hf_hub_download(repo_id, anchor, revision=revision, **options)).parent
        if folder.name != commit:  # the branch has moved, or this request has failed and the cache has answered
            folder = Path(hf_hub_download(repo_id, anchor, revision=commit, **options)).parent
        return Repository(repo_type, repo_id, anchor, token, commit, folder, files)
    except (RevisionNotFoundError, HFValidationError) as error:
        raise cannot_load(repo_type, repo_id, revision, error) from error
    except Exception as error:  # the HTTP client's types are not the same in all versions of huggingface_hub
        if _is_disk_full(error):
            raise
        cached = _find_in_cache(repo_type, repo_id, revision, anchor, token, error)
        if cached is None:
            raise cannot_load(repo_type, repo_id, revision, error) from error
        if not isinstance(error, OfflineModeIsEnabled):
            reason, advice = diagnose(repo_type, repo_id, revision, error)
            warnings.warn(f"{reason}; using {repo_id} from the cache, commit {cached.commit}. {advice}", stacklevel=2)
        return cached


def _find_in_cache(
    repo_type: RepoType, repo_id: str, revision: str, anchor: str, token: str | None, problem: Exception | None = None
) -> Repository | None:
    path = try_to_load_from_cache(repo_id, anchor, repo_type=repo_type, revision=revision)
    if not isinstance(path, str):
        return None
    folder = Path(path).parent
    files = frozenset(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return Repository(repo_type, repo_id, anchor, token, folder.name, folder, files, from_cache=True, problem=problem)


def _ask_until_answered(
    repo_type: RepoType, repo_id: str, revision: str, token: str | None
) -> tuple[str, frozenset[str]]:
    """The commit and the files of a revision. A hub that is overloaded is asked again."""
    for wait in (0, *RETRY_WAITS_S):
        time.sleep(wait)
        if not constants.HF_HUB_OFFLINE:
            _say(f"looking up {repo_type} {repo_id} ({revision}) on {constants.ENDPOINT}")
        try:
            info = _ask(repo_type, repo_id, revision, token)
            _say(f"found commit {info.sha}")
            return info.sha, frozenset(file.rfilename for file in info.siblings or ())
        except HfHubHTTPError as error:
            status, failure = error.response.status_code, error
            if status != TOO_MANY_REQUESTS and status < SERVER_ERROR:
                raise
    raise failure


def _ask(repo_type: RepoType, repo_id: str, revision: str, token: str | None) -> Any:
    """What the hub says of a revision. A hub that has not answered is not asked again in this run.

    In a thread, because the resolution of host names has no timeout of its own.
    """
    if _timed_out.is_set():
        raise TimeoutError(f"no answer within {ANSWER_TIMEOUT_S:g} s")
    answers: SimpleQueue[Any] = SimpleQueue()

    def ask() -> None:
        try:
            hub = HfApi(token=token)
            answers.put(hub.repo_info(repo_id, repo_type=repo_type, revision=revision, timeout=ANSWER_TIMEOUT_S))
        except Exception as error:  # it is raised below
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_TIMEOUT_S)
    except Empty:
        _timed_out.set()
        raise TimeoutError(f"no answer within {ANSWER_TIMEOUT_S:g} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _matches(file: str, pattern: str) -> bool:
    return fnmatch(file, pattern) and file.count("/") == pattern.count("/")


def _is_disk_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in DISK_FULL
