"""Python processes that start at once: forked from one that has loaded torch.

A fresh process takes five seconds of a core to load torch. `Forked` is what tests use in place of
`subprocess.Popen` where it is about what a process does after that.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from multiprocessing.connection import Connection
from subprocess import DEVNULL, PIPE

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "torch._dynamo",
        "torch.distributed.elastic",
        "sklearn.neighbors",
        "matplotlib.figure",
        "dvae_core.cli.run",
        "dvae_core.training.run",
        "dvae_core.sweep.driver",
    ]
)


class Forked:
    """As much of `subprocess.Popen` as tests ask of [python, "-P"?, "-m" module | script, ...].

    Args:
        ignored: signals that the process ignores from its start.
    """

    def __init__(
        self, command, *, stdin=None, stdout=None, stderr=None, env=None, cwd=None, ignored=(), text
    ):
        self.args = command
        ends = [_ends(stream, number) for number, stream in enumerate((stdin, stdout, stderr))]
        ours = [
            None if fd is None else os.fdopen(fd, "w" if number == 0 else "r")
            for number, (_, fd) in enumerate(ends)
        ]
        self.stdin, self.stdout, self.stderr = ours
        theirs = [Connection(fd, readable=number == 0) for number, (fd, _) in enumerate(ends)]
        arguments = [part for part in command[1:] if part != "-P"]
        environment = dict(os.environ if env is None else env)
        self._process = _context.Process(
            target=_become, args=(arguments, environment, str(cwd or os.getcwd()), theirs, ignored)
        )
        self._process.start()
        for end in theirs:
            end.close()
        self.pid = self._process.pid

    @property
    def returncode(self):
        return self.poll()

    def poll(self):
        return self._process.exitcode

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self._process.exitcode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout=None):
        """(stdout, stderr) to their ends."""
        from concurrent.futures import ThreadPoolExecutor

        if self.stdin is not None:
            self.stdin.close()
        with ThreadPoolExecutor(2) as pool:
            said = [pool.submit(_rest, stream) for stream in (self.stdout, self.stderr)]
            self.wait(timeout)
        return tuple(text.result() for text in said)


def _rest(stream):
    if stream is None:
        return None
    with stream:
        return stream.read()


def run(command, **keywords) -> subprocess.CompletedProcess:
    """`subprocess.run(..., capture_output=True, text=True)` of a forked process."""
    process = Forked(command, stdout=PIPE, stderr=PIPE, text=True, **keywords)
    out, err = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _ends(stream, number):
    """The process's end of a stream as a file descriptor, and ours, if there is one."""
    if stream is PIPE:
        read, write = os.pipe()
        return (read, write) if number == 0 else (write, read)
    if stream is DEVNULL:
        return os.open(os.devnull, os.O_RDWR), None
    return os.dup(number if stream is None else stream.fileno()), None


def _become(arguments, environment, folder, streams, ignored):
    """In the new process: be `python *arguments`."""
    for number, stream in enumerate(streams):
        os.dup2(stream.fileno(), number)
        stream.close()
    sys.stdin = os.fdopen(0)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = arguments[1:] if arguments[0] == "-m" else arguments
    try:
        if arguments[0] == "-m":
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()
