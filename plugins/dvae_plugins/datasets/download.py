"""Downloads through torchvision, with a time-out, and all or nothing."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

TIMEOUT = 20.0
"""Seconds to wait for a server that says nothing."""


def download(
    class_name: str, target: Path, parts: Iterable[dict[str, Any]] = ({},), take: str = "."
) -> None:
    """Let a torchvision data set download itself, then move its files to `target`.

    Args:
        parts: arguments for the data set's class, beside root and download; one each for
            parts that are files of their own.
        take: the folder, inside torchvision's root, that becomes `target`.

    Raises:
        Exception: whatever torchvision raises; `target` is not there then.
    """
    from torchvision import datasets

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".download-") as folder:
        # torchvision shows its progress on stdout, which is for data.
        with _time_out(TIMEOUT), contextlib.redirect_stdout(sys.stderr):
            for arguments in parts:
                getattr(datasets, class_name)(folder, download=True, **arguments)
        shutil.rmtree(target, ignore_errors=True)
        (Path(folder) / take).replace(target)
        Path(folder).mkdir(exist_ok=True)


@contextlib.contextmanager
def _time_out(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
