"""Calls into components: what one raises costs no other, and what it changes is put back."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from dvae_core.errors import reason


def asked_for(function: Callable[..., Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Of some facts those that a function has a parameter for, so that others may be added.

    >>> asked_for(lambda size: ..., {"size": 3, "since": 1})
    {'size': 3}
    """
    return {name: facts[name] for name in inspect.signature(function).parameters if name in facts}


@contextlib.contextmanager
def guarded(label: str, report: Callable[[str], None]) -> Iterator[None]:
    """Report, in a line, whatever is raised inside: SystemExit too, and what cannot say what it is.

    Ctrl-C is the user's and passes. Global state is put back, as `preserved` does.

    >>> with guarded('metric "mine" failed', print):
    ...     raise SystemExit(3)
    metric "mine" failed: SystemExit: 3
    """
    try:
        with preserved():
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        report(f"{label}: {reason(error)}")


@contextlib.contextmanager
def preserved() -> Iterator[None]:
    """Put back the working directory and the switches of torch and NumPy, and let nobody exit.

    Random generators are not among them: whoever calls knows whether numbers may be drawn.
    """
    folder = _folder()
    switches = [(read, read(), write) for read, write in _switches()]
    process, leave = os.getpid(), os._exit
    exits = (os, sys.modules[os.name])  # os._exit is posix._exit or nt._exit

    def stay(status: int) -> NoReturn:
        if os.getpid() != process:  # a child that ends as it should
            leave(status)
        raise SystemExit(f"called os._exit({status})")

    for module in exits:
        vars(module)["_exit"] = stay
    try:
        yield
    finally:
        for module in exits:
            vars(module)["_exit"] = leave
        for read, value, write in switches:
            if read() != value:
                write(value)
        if folder is not None and _folder() != folder:
            os.chdir(folder)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it has been removed
        return None


def _switches() -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """How to read and write each; nothing is imported for their sake."""
    yield sys.getrecursionlimit, sys.setrecursionlimit
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None:
        yield torch.is_grad_enabled, torch.set_grad_enabled
        yield torch.get_default_dtype, torch.set_default_dtype
        yield torch.get_num_threads, torch.set_num_threads
        yield torch.get_default_device, torch.set_default_device
        yield torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
        yield torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly
        yield torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms
    if numpy is not None:
        yield numpy.geterr, lambda value: numpy.seterr(**value)
