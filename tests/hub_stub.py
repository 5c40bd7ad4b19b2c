"""A stand-in for the Hugging Face hub: repositories in memory, as its client talks to them."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse


class Hub:
    """Repositories by name, each a dict of files, and what was asked of the server.

    Args:
        refusal: a status that every request is answered with.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.asked: list[str] = []
        self.refusal: int | None = None
        stub = self

        class Handler(_Handler):
            hub = stub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def commit(self, name: str) -> str:
        """A digest of all that a repository holds."""
        files = sorted(self.repositories[name].items())
        return hashlib.sha1(repr(files).encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, body: object = None, status: int = 200, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = [unquote(part) for part in urlparse(self.path).path.strip("/").split("/")]
        self.hub.asked.append(f"{self.command} {self.path}")
        if self.hub.refusal:
            return self._answer({"error": "refused"}, self.hub.refusal)
        if parts[:2] == ["api", "models"]:
            name, what = "/".join(parts[2:4]), parts[4:5]
            if name not in self.hub.repositories:
                return self._answer({"error": "Repository not found"}, 404,
                                    X_Error_Code="RepoNotFound")  # fmt: skip
            files = self.hub.repositories[name]
            if what == ["tree"]:
                return self._answer(
                    [{"type": "file", "path": path, "size": len(data), "oid": _oid(data)}
                     for path, data in files.items()]
                )  # fmt: skip
            facts = {"id": name, "sha": self.hub.commit(name), "private": False,
                     "siblings": [{"rfilename": path} for path in files]}  # fmt: skip
            return self._answer(facts)
        name, path = "/".join(parts[:2]), "/".join(parts[4:])
        if path not in self.hub.repositories.get(name, {}):
            return self._answer({"error": "Not found"}, 404)
        data = self.hub.repositories[name][path]
        etag = f'"{_oid(data)}"'
        return self._answer(data, ETag=etag, X_Repo_Commit=self.hub.commit(name))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = urlparse(self.path).path.strip("/").split("/")
        self.hub.asked.append(f"POST {self.path}")
        if self.hub.refusal:
            return self._answer({"error": "refused"}, self.hub.refusal)
        if parts[:3] == ["api", "repos", "create"]:
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.hub.private.setdefault(
                name, asked.get("private") or asked.get("visibility") == "private"
            )
            self.hub.repositories.setdefault(name, {})
            return self._answer({"url": f"{self.hub.address}/{name}", "name": name, "id": name})
        if parts[-1] == "validate-yaml":
            return self._answer({"errors": [], "warnings": []})
        name = "/".join(parts[2:4])
        files = self.hub.repositories[name]
        if parts[4] == "preupload":
            told = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for file in json.loads(body)["files"]]  # fmt: skip
            return self._answer({"files": told})
        for line in body.decode().splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            elif entry["key"] == "deletedFile":
                del files[entry["value"]["path"]]
        oid = self.hub.commit(name)
        return self._answer({"success": True, "commitOid": oid,
                             "commitUrl": f"{self.hub.address}/{name}/commit/{oid}"})  # fmt: skip


def _oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
