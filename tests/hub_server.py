"""A small hub on the loopback for huggingface_hub's client: repositories, revisions, access, and faults to order."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

LARGE_FILES = (".bin", ".model", ".parquet", ".safetensors")  # which the hub redirects to another host
TOKEN = "hf_right"


@dataclass
class Revision:
    """The files of a repository at one commit."""

    files: dict[str, bytes]

    @property
    def commit(self) -> str:
        content = ((path, hashlib.sha1(data).hexdigest()) for path, data in sorted(self.files.items()))
        return hashlib.sha1(repr(list(content)).encode()).hexdigest()

    def tree(self) -> list[dict[str, object]]:
        """The files as the hub lists them."""
        return [
            {"type": "file", "path": path, "size": len(data), "oid": etag(data)} for path, data in self.files.items()
        ]


@dataclass
class Hub:
    """What the server holds, the faults that it makes, and what it was asked.

    Attributes:
        repositories: `models/name` or `datasets/name` → branch or tag → files.
        gated: Repositories whose files need the token.
        failures: Status codes of the next answers about repositories.
        cuts: How many more downloads of large files break off in the middle.
        requests: `METHOD path` of each request.
    """

    repositories: dict[str, dict[str, Revision]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    failures: list[int] = field(default_factory=list)
    cuts: int = 0
    requests: list[str] = field(default_factory=list)
    url: str = ""

    def add(self, name: str, folder: Path, revision: str = "main") -> Revision:
        """Publish the files of a folder."""
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        self.repositories.setdefault(name, {})[revision] = Revision(files)
        return self.repositories[name][revision]

    def downloads(self, suffix: str) -> int:
        """How many large files of this suffix were sent."""
        return sum(request.startswith("GET /cdn/") and request.endswith(suffix) for request in self.requests)

    def find(self, name: str, revision: str) -> Revision | None:
        revisions = self.repositories[name]
        return revisions.get(revision) or next((one for one in revisions.values() if one.commit == revision), None)


def etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers what `repo_info`, `list_repo_tree` and `hf_hub_download` ask."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        self.hub.requests.append(f"{self.command} {path}")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if path.startswith("/cdn/"):
            return self.send_large(path)
        if token not in ("", TOKEN):
            return self.refuse(401, message="Invalid credentials in Authorization header")
        is_api = path.startswith("/api/")
        name = next((name for name in self.hub.repositories if f"/{name.removeprefix('models/')}/" in path), None)
        if name is None:
            return self.refuse(404 if token else 401, "RepoNotFound")
        if self.hub.failures:
            return self.refuse(self.hub.failures.pop())
        if name in self.hub.gated and token != TOKEN and not is_api:
            return self.refuse(401, "GatedRepo")
        # …/revision/R and …/tree/R of the API, …/resolve/R/path of files
        _, revision, *rest = path.partition(f"{name.removeprefix('models/')}/")[2].split("/", 2)
        found = self.hub.find(name, revision)
        if found is None:
            return self.refuse(404, "RevisionNotFound")
        commit = {"X-Repo-Commit": found.commit}
        if "/tree/" in path:
            return self.reply(json.dumps(found.tree()).encode())
        if is_api:
            siblings = [{"rfilename": file} for file in found.files]
            return self.reply(json.dumps({"id": name, "sha": found.commit, "siblings": siblings}).encode())
        data = found.files.get(rest[0])
        if data is None:
            return self.refuse(404, "EntryNotFound")
        if not rest[0].endswith(LARGE_FILES):
            return self.reply(data, commit | {"ETag": f'"{etag(data)}"'})
        linked = {"X-Linked-Size": str(len(data)), "X-Linked-ETag": f'"{etag(data)}"'}
        elsewhere = f"{self.hub.url.replace('127.0.0.1', 'localhost')}/cdn/{name}/{found.commit}/{rest[0]}"
        return self.reply(b"", commit | linked | {"Location": elsewhere}, status=302)

    do_HEAD = do_GET

    def send_large(self, path: str) -> None:
        kind, *name, commit, file = path.removeprefix("/cdn/").split("/", 4)
        revision = self.hub.find("/".join((kind, *name)), commit)
        assert revision is not None
        data, start = revision.files[file], 0
        if asked := self.headers.get("Range"):
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if asked else {}
        self.reply(data[start:], headers, 206 if asked else 200, cut=self.hub.cuts > 0)
        self.hub.cuts -= 1

    def refuse(self, status: int, code: str = "", message: str = "refused") -> None:
        self.reply(b"{}", {"X-Error-Code": code, "X-Error-Message": message}, status)

    def reply(self, body: bytes, headers: dict[str, str] | None = None, status: int = 200, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut

    def log_message(self, *values: object) -> None:
        """Nothing: `Hub.requests` has them."""


@contextmanager
def serve() -> Iterator[Hub]:
    """A hub without repositories, on a free port."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("HubHandler", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
