"""A server for W&B's client on this machine, which answers, refuses, hangs or dies as it is told.

It knows of W&B's GraphQL as much as a run needs to start, log and finish.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # a table comes as a hundred files at once


class Stub:
    """Serves on a free port until `close`.

    Args:
        status: what every request is answered with; 200 means properly.
        hangs: accept connections and never answer.
    """

    def __init__(self, status: int = 200, hangs: bool = False) -> None:
        self.status, self.hangs = status, hangs
        self.run_ids: list[str] = []
        """The id of each run that was started or updated."""
        self.resumed_from: list[str] = []
        """The ids that a client asked about before it went on with them."""
        self.steps: list[int] = []
        """The steps whose rows have arrived."""
        self.artifacts: list[dict[str, Any]] = []
        """The artifacts that were asked for: name, type, names of files, whether committed."""
        self._over = threading.Event()
        self._server = Server(("127.0.0.1", 0), self._handler())
        self._server.handle_error = lambda *request: None  # a client that went away
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Die: connections are cut, and new ones refused."""
        if self._over.is_set():
            return
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        query, variables = body.get("query", ""), body.get("variables") or {}
        if "upsertBucket" in query:
            self.run_ids.append(variables["name"])
            return {"upsertBucket": {"bucket": self._bucket(variables), "inserted": True}}
        if "RunResumeStatus" in query:
            self.resumed_from.append(variables["name"])
            known = variables["name"] in self.run_ids
            return {"model": {"bucket": self._bucket(variables) if known else None}}
        if "query Viewer" in query:
            teams = {"edges": []}
            return {"viewer": {"id": "v", "entity": "someone", "username": "x", "teams": teams}}
        if "rtifact" in query:
            return self._artifact(query, variables)
        if "createRunFiles" in query:
            files = [{"name": n, "uploadUrl": f"{self.url}/put/{n}"} for n in variables["files"]]
            return {"createRunFiles": {"runID": "x", "uploadHeaders": [], "files": files}}
        if path.endswith("/file_stream"):
            history = body.get("files", {}).get("wandb-history.jsonl", {})
            self.steps += [json.loads(line)["_step"] for line in history.get("content", [])]
        return {}

    def _artifact(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Takes artifacts: each has a number for its id, its manifest and files under that."""
        if "query ArtifactType" in query:
            return {"project": {"artifact": None}}
        if "createArtifactManifest" in query:
            number = variables["artifactID"]
            file = {"id": number, "uploadUrl": f"{self.url}/put/{number}", "uploadHeaders": []}
            return {"createArtifactManifest": {"artifactManifest": {"id": number, "file": file}}}
        if "createArtifactFiles" in query:
            nodes = []
            for spec in variables["input"]["artifactFiles"]:
                self.artifacts[int(spec["artifactID"])]["files"].add(spec["name"])
                url = f"{self.url}/put/{spec['artifactID']}/{spec['name']}"
                node = {"storagePath": "x", "uploadUrl": url, "uploadHeaders": []}
                nodes.append({"node": node | {"artifact": {"id": spec["artifactID"]}}})
            return {"createArtifactFiles": {"files": {"edges": nodes}}}
        if "createArtifact(" in query:
            wanted = variables["input"]
            new = {"name": wanted["artifactCollectionName"], "type": wanted["artifactTypeName"]}
            self.artifacts.append(new | {"files": set(), "committed": False})
            artifact = {"id": str(len(self.artifacts) - 1), "state": "PENDING"}
            return {"createArtifact": {"artifact": artifact | {"artifactSequence": {}}}}
        if "commitArtifact" in query:
            number = variables["artifactID"]
            self.artifacts[int(number)]["committed"] = True
            return {"commitArtifact": {"artifact": {"id": number, "digest": "x"}}}
        if "query ArtifactByID" in query:
            return {"artifact": self._committed(variables["id"])}
        return {}

    def _committed(self, number: str) -> dict[str, Any]:
        known = self.artifacts[int(number)]
        project = {"id": "p", "internalId": "p", "name": "try", "entity": {"name": "someone"}}
        sequence = {"__typename": "ArtifactSequence", "name": known["name"], "project": project}
        unknown = ("description", "metadata", "historyStep", "updatedAt")
        return dict.fromkeys(unknown) | {
            "__typename": "Artifact",
            "id": number,
            "artifactSequence": sequence,
            "artifactType": {"name": known["type"]},
            "versionIndex": 0,
            "ttlDurationSeconds": -2,
            "ttlIsInherited": True,
            "state": "COMMITTED",
            "size": 1,
            "digest": "x",
            "commitHash": "x",
            "fileCount": len(known["files"]),
            "createdAt": "2026-01-01T00:00:00Z",
            "tags": [],
            "aliases": [],
        }

    def _bucket(self, variables: dict[str, Any]) -> dict[str, Any]:
        project = {"id": "p", "name": "try", "entity": {"id": "e", "name": "someone"}}
        return {
            "id": "b",
            "name": variables["name"],
            "displayName": variables.get("displayName") or "run",
            "project": project,
            "historyLineCount": len(self.steps),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps([json.dumps({"_step": s}) for s in self.steps[-1:]]),
            "eventsTail": "[]",
            "summaryMetrics": "{}",
            "config": "{}",
            "tags": [],
            "wandbConfig": "{}",
        }

    def _handler(stub) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: object) -> None:
                pass

            def do_GET(self) -> None:
                data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if stub.hangs:
                    stub._over.wait()
                if stub._over.is_set():
                    self.close_connection = True
                    return
                try:
                    body = json.loads(data)
                except ValueError:
                    body = {}
                answer = stub.answer(self.path, body)
                whole = answer if self.path.endswith("/file_stream") else {"data": answer}
                text = json.dumps(whole).encode()
                self.send_response(stub.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_POST = do_PUT = do_GET  # noqa: N815

        return Handler
