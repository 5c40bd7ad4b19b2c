"""Lets a run end on its own terms when the user, or the machine, asks it to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(eq=False)
class StopRequest:
    """Which signal asked for a stop, if any."""

    signal: int | None = None


STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""SIGHUP says that the terminal is gone."""

_open: list[StopRequest] = []


def request_stop(number: int) -> None:
    """Stop whatever goes on in this process as the signal would; from any thread."""
    for request in list(_open):
        request.signal = number


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Note the first SIGINT, SIGTERM or SIGHUP; a second one acts as usual, at once.

    A signal that this process was started to ignore, as nohup has it, stays ignored.

    Outside the main thread Python allows no handlers, and only `request_stop` is heard.
    """
    request = StopRequest()
    _open.append(request)
    try:
        with _handlers():
            yield request
    finally:
        _open.remove(request)


@contextmanager
def _handlers() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in STOPS}
    before = {n: handler for n, handler in handlers.items() if handler != signal.SIG_IGN}

    def note(number: int, frame: FrameType | None) -> None:
        request_stop(number)
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield
    finally:
        restore()
