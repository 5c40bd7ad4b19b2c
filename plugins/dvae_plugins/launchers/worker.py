"""A worker of the local launcher: reads jobs from stdin, a JSON line each, and answers each."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time

from dvae_core import DvaeError, Job, request_stop, run_job


def main() -> None:
    # Ctrl-C reaches every process of a terminal; when to stop is the sweep's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What plugins print must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(lines,), daemon=True).start()
    while line := lines.get():
        error = None
        try:
            run_job(Job(**json.loads(line)))
        except DvaeError as problem:
            error = str(problem)
        print(json.dumps(error), file=answers, flush=True)


def listen(lines: queue.SimpleQueue[str]) -> None:
    """Pass lines on, and stop what is being trained when there is nobody left who sends any."""
    for line in sys.stdin:
        lines.put(line)
    lines.put("")
    while True:
        request_stop(signal.SIGTERM)
        time.sleep(0.5)


if __name__ == "__main__":
    main()
