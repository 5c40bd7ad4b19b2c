"""Measure how fast dvae is, and print it as tables and JSON.

    python -m benchmarks [TOPIC ...] [--peers lightning,pythae,keras] [--quick]

Topics: training, start_up, evaluation, pages, growth, memory, launches, gpu; all of them if none
is named. What is compared takes turns, A B A B, each turn in a fresh process. Figures of different
runs of this command should not be compared on a busy machine; the ratios within one may.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import evaluation, gpu, growth, launches, pages, report, start_up, training
from benchmarks.environments import PEERS

Found = tuple[report.Table, dict[str, Any]]
ALWAYS = ["ceiling", "by_hand", "plain"]


def main() -> None:
    options = _options()
    results: dict[str, Any] = {"machine": report.machine(), "threads": options.threads}
    for topic in options.topics or TOPICS:
        results[topic] = []
        for table, data in TOPICS[topic](options):
            table.show()
            results[topic].append(data)
    if options.json:
        report.write(options.json, results)


def _options() -> argparse.Namespace:
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser("python -m benchmarks", description=summary, epilog=rest)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=", ".join(TOPICS))
    parser.add_argument(
        "--peers",
        default="",
        help=f"of {','.join(PEERS)}: each is installed once in an environment of its own",
    )
    parser.add_argument("--quick", action="store_true", help="seconds: shows that it works")
    parser.add_argument("--rounds", type=int, help="turns of each")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--part", choices=gpu.PARTS, help="of the topic gpu alone")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    options.peers = [name for name in options.peers.split(",") if name]
    unknown = [t for t in options.topics if t not in TOPICS]
    unknown += [p for p in options.peers if p not in PEERS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    options.rounds = options.rounds or (1 if options.quick else 5)
    return options


def _training(options: argparse.Namespace) -> Iterator[Found]:
    cases = [
        (model, batch, precision)
        for model in ("conv", "mlp")
        for batch in (64, 512)
        for precision in ("float32", "bfloat16")
    ]
    for model, batch, precision in [("mlp", 64, "float32")] if options.quick else cases:
        images = 640 if options.quick else 5120 if model == "conv" else 20480
        job = training.job_of(model, batch, precision, images, options.threads)
        names = ["ceiling", "by_hand"] if options.quick else ALWAYS
        yield training.measure(job, [*names, *options.peers], options.rounds)


def _start_up(options: argparse.Namespace) -> Iterator[Found]:
    yield start_up.light_verbs(options.rounds if options.quick else 2 * options.rounds)
    if not options.quick:
        yield start_up.first_figures(6400, options.rounds)


def _evaluation(options: argparse.Namespace) -> Iterator[Found]:
    yield evaluation.manifold(options.threads, options.rounds)
    if not options.quick:
        for limit in (20_000, 60_000):
            yield evaluation.share_of_epoch(options.threads, options.rounds, train_limit=limit)
        yield evaluation.share_of_epoch(options.threads, options.rounds, "bfloat16")


def _pages(options: argparse.Namespace) -> Iterator[Found]:
    yield from pages.pages(options.rounds, quick=options.quick)


def _growth(options: argparse.Namespace) -> Iterator[Found]:
    yield growth.speed(options.threads, options.quick)


def _memory(options: argparse.Namespace) -> Iterator[Found]:
    yield growth.memory(options.threads, options.quick)


def _launches(options: argparse.Namespace) -> Iterator[Found]:
    yield launches.measure()


def _gpu(options: argparse.Namespace) -> Iterator[Found]:
    parts = (options.part,) if options.part else gpu.PARTS
    yield from gpu.measure(parts, quick=options.quick)


TOPICS: dict[str, Callable[[argparse.Namespace], Iterator[Found]]] = {
    "training": _training,
    "start_up": _start_up,
    "evaluation": _evaluation,
    "pages": _pages,
    "growth": _growth,
    "memory": _memory,
    "launches": _launches,
    "gpu": _gpu,
}

if __name__ == "__main__":
    main()
