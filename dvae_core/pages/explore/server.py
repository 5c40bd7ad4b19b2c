"""A server for one reader on this machine: decodes any place exactly, encodes what is drawn."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from dvae_core.errors import reason
from dvae_core.pages.explore import morphs
from dvae_core.pages.explore.content import Explored
from dvae_core.pages.explore.ground import COARSE, FEW, ground
from dvae_core.pages.explore.packing import as_bytes
from dvae_core.pages.explore.page import page
from dvae_core.pages.explore.pictures import LATTICE_VALUES
from dvae_core.pages.explore.planes import Plane

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
"""What a browser may call this machine. Any other name is a stranger's page that points here."""
LARGEST = 4_000_000
"""Bytes of a request, at most."""
PATIENCE = 10.0
"""Seconds in which the next bytes of a request must come."""
MOST_WAITING = 64
"""Connections that have not sent their request yet; a new one takes the oldest one's place."""
MOST = 256
"""Connections at the same time; more are closed unread."""
QUICKER = 16
"""How many times fewer images are decoded while a plane is being moved."""


class Server(ThreadingHTTPServer):
    """Serves a page on a free port of the loopback interface.

    `POST /<run>/decode` takes `{"plane": number, "place": [x, y]}`, `POST /<run>/line` takes
    `{"plane": number, "ends": [place, place]}`, and `POST /<run>/move` takes
    `{"plane": number, "offsets": [along each axis beyond it]}`, which the former two may take too;
    `POST /<run>/encode` takes `{"pixels": [0 to 255, C * H * W of them]}`. All answer in JSON.
    """

    daemon_threads = True
    request_queue_size = MOST

    def __init__(self, explored: Sequence[Explored]) -> None:
        super().__init__((HOST, 0), _Handler)
        self.explored = explored
        self._connections: dict[socket.socket, bool] = {}  # oldest first: has sent its request?
        self._counting = threading.Lock()
        self.page = page([one.content(served=True) for one in explored], live=True).encode()
        self.one_at_a_time = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._counting:
            waiting = [one for one, has_asked in self._connections.items() if not has_asked]
            if len(self._connections) >= MOST:
                self.shutdown_request(request)
                return
            self._connections[request] = False
        if len(waiting) >= MOST_WAITING:
            with contextlib.suppress(OSError):
                waiting[0].shutdown(socket.SHUT_RDWR)  # its thread ends by itself
        super().process_request(request, client_address)

    def asked(self, request: Any) -> None:
        """A connection has sent all of its request."""
        with self._counting:
            self._connections[request] = True

    def close_request(self, request: Any) -> None:
        with self._counting:
            self._connections.pop(request, None)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that went away is no error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_address[1]}/"


def decode(
    explored: Explored, plane: int, place: Sequence[float], offsets: Sequence[float] = ()
) -> dict[str, Any]:
    """The image at a place of a plane, which may be moved, and what both judges say."""
    point = _plane(explored, plane, offsets).points(np.array([place], dtype=np.float64))
    return _seen(explored, point)


def encode(explored: Explored, pixels: Sequence[int]) -> dict[str, Any]:
    """Where an image lands on each plane, what comes back, and what the judges say of it."""
    image = np.array(pixels, dtype=np.uint8).reshape(1, *explored.snapshot.image_shape)
    mean = explored.snapshot.encode(image)[0]
    return {
        "places": [plane.coordinates(mean)[0].tolist() for plane in explored.planes],
        "given": _judged(explored, image),
        **_seen(explored, mean),
    }


def line(
    explored: Explored,
    plane: int,
    ends: Sequence[Sequence[float]],
    offsets: Sequence[float] = (),
) -> dict[str, Any]:
    """What both judges say along the straight line between two places of a plane."""
    return morphs.line(explored.snapshot, _plane(explored, plane, offsets), ends)


def move(
    explored: Explored, plane: int, offsets: Sequence[float], quick: bool = False
) -> dict[str, Any]:
    """The map and the images of a plane that is moved; coarser ones if it must be quick."""
    moved = _plane(explored, plane, offsets)
    if quick:
        return ground(explored.snapshot, moved, COARSE, LATTICE_VALUES // QUICKER, FEW)
    return explored.ground(moved)


def _plane(explored: Explored, plane: int, offsets: Sequence[float]) -> Plane:
    found = explored.planes[plane]
    return found.shifted(offsets) if offsets else found


def _seen(explored: Explored, point: np.ndarray) -> dict[str, Any]:
    image = explored.snapshot.decode(point)
    return {
        "image": as_bytes(image).ravel().tolist(),
        "latent": int(explored.snapshot.judge.verdicts(point)[0]),
        "seen": _judged(explored, image),
    }


def _judged(explored: Explored, image: np.ndarray) -> list[float]:
    probabilities = explored.snapshot.image_judge.probabilities(image)[0]
    return [int(probabilities.argmax()), float(probabilities.max())]


ANSWERS: dict[str, Callable[..., dict[str, Any]]] = {
    "decode": decode,
    "encode": encode,
    "line": line,
    "move": move,
}


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = PATIENCE

    def do_GET(self) -> None:
        self.server.asked(self.connection)
        if self._is_stranger():
            return
        if self.path != "/":
            self.send_error(404)
            return
        self._answer("text/html; charset=utf-8", self.server.page)

    def do_POST(self) -> None:
        # A page from elsewhere cannot send this content type without being asked first.
        if self._is_stranger():
            return
        if self.headers.get_content_type() != "application/json":
            self.send_error(415)
            return
        try:
            size = int(self.headers["Content-Length"])
            if not 0 <= size <= LARGEST:
                raise ValueError("too large")
            asked = json.loads(self.rfile.read(size))
            self.server.asked(self.connection)
            _, run, verb = self.path.split("/")
            with self.server.one_at_a_time:
                found = ANSWERS[verb](self.server.explored[int(run)], **asked)
            answer = json.dumps(found, allow_nan=False).encode()
        except OSError:
            raise
        except Exception as error:  # what was asked for may raise anything
            self.send_error(400, explain=reason(error))
            return
        self._answer("application/json", answer)

    def _is_stranger(self) -> bool:
        name = self.headers.get("Host", "").rpartition(":")[0]
        if name in NAMES:
            return False
        self.send_error(403)
        return True

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Says nothing."""
