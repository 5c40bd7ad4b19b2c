"""What a recipe leaves to the machine, precision and compilation: chosen by measuring."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import platform
import time
from dataclasses import dataclass, replace
from pathlib import Path

from dvae_core.errors import DvaeError
from dvae_core.files import cache_folder, small_text, write_atomically
from dvae_core.plugin.labelled_images import LabelledImages
from dvae_core.recipe.recipe import Recipe
from dvae_core.runs.provenance import LIBRARIES, version_of
from dvae_core.runs.watch import Watch
from dvae_core.training.state import Training
from dvae_core.training.steps import Steps, steps_of

STEPS = 10
"""In a round. Every candidate takes its turn in each."""
ROUNDS = 3
WORTHWHILE = 0.9
"""Another one than plain float32 must take less than this share of its time."""


@dataclass(frozen=True)
class Candidate:
    """A choice of both, and what it costs."""

    precision: str
    compile: str
    first: float = 0.0
    """Seconds of the first step, and with it of compiling."""
    step: float = 0.0
    """Seconds of every other one."""
    failure: str = ""
    """Why it cannot be had."""

    def seconds(self, steps: int) -> float:
        """Of a run with so many steps."""
        return self.first + self.step * steps

    def __str__(self) -> str:
        name = f"{self.precision}{', compiled' if self.compile == 'on' else ''}"
        if self.failure:
            return f"{name}: failed: {self.failure}"
        return f"{name}: {1000 * self.step:.1f} ms a step, {self.first:.1f} s for the first"


def autotune(recipe: Recipe, data: LabelledImages, watch: Watch) -> tuple[Recipe, list[str]]:
    """The recipe with every "auto" of `train.precision` and `train.compile` replaced.

    A few steps of every candidate are timed, in turn, once for a model, a machine and its
    libraries; the times are kept in the cache folder. The fastest for the length of the run wins,
    if it saves a tenth of the time of plain float32.

    Returns:
        The recipe, and why: a line for each candidate that was tried. None if there was no "auto".
    """
    precisions = _choices(recipe.train.precision, ("float32", "bfloat16"))
    compiles = _choices(recipe.train.compile, ("off", "on"))
    if len(precisions) == len(compiles) == 1:
        return recipe, []
    untried = [Candidate(p, c) for p, c in itertools.product(precisions, compiles)]
    file = _file(recipe, data)
    candidates = _read(file, untried)
    if not candidates:
        watch.stage("measuring which precision and compilation are fastest")
        candidates = _measured(recipe, data, untried)
        _write(file, candidates)
    best = _best(candidates, recipe.timeline(len(data.train_images)).total)
    return _with(recipe, best), [str(candidate) for candidate in candidates]


def settled_as(before: Recipe, recipe: Recipe) -> Recipe:
    """The recipe of a run that goes on: for "auto" it keeps what the run was settled to."""
    was, now = before.train, recipe.train
    precision = was.precision if now.precision == "auto" else now.precision
    return _with(
        recipe, Candidate(precision, was.compile if now.compile == "auto" else now.compile)
    )


def _choices(value: str, known: tuple[str, ...]) -> tuple[str, ...]:
    return known if value == "auto" else (value,)


def _with(recipe: Recipe, candidate: Candidate) -> Recipe:
    update = {"precision": candidate.precision, "compile": candidate.compile}
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=update)})


def _best(candidates: list[Candidate], steps: int) -> Candidate:
    plain = candidates[0]
    possible = [candidate for candidate in candidates if not candidate.failure]
    fastest = min(possible, key=lambda candidate: candidate.seconds(steps), default=plain)
    worth_it = fastest.seconds(steps) < WORTHWHILE * plain.seconds(steps)
    return fastest if worth_it or plain.failure else plain


def _measured(recipe: Recipe, data: LabelledImages, candidates: list[Candidate]) -> list[Candidate]:
    # A round takes no more steps than are left of an epoch.
    few = slice(None, (1 + ROUNDS * STEPS) * recipe.train.step_size)
    part = replace(data, **data.rows("train", few))
    trainings: dict[int, Steps] = {}
    measured = list(candidates)
    for index, candidate in enumerate(candidates):
        trainings[index] = steps_of(Training(_with(recipe, candidate), part))
        try:
            measured[index] = replace(
                candidate, first=_seconds(trainings[index], 1), step=float("inf")
            )
        except DvaeError as error:
            measured[index] = replace(candidate, failure=str(error))
            del trainings[index]
    for _ in range(ROUNDS):
        for index, way in trainings.items():
            step = _seconds(way, STEPS) / STEPS
            measured[index] = replace(measured[index], step=min(measured[index].step, step))
    return measured


def _seconds(way: Steps, steps: int) -> float:
    training = way.training
    started, taken = time.perf_counter(), 0
    while taken < steps:
        taken += sum(1 for _ in itertools.islice(way.take(), steps - taken))
        training.ledger.read()  # waits for the device
        if training.epoch_step == training.timeline.steps_per_epoch:
            training.finish_epoch()
    return time.perf_counter() - started


# --- What was measured before.


def _file(recipe: Recipe, data: LabelledImages) -> Path:
    """Where the timings lie of all recipes that take the same time on this machine."""
    import torch

    table = recipe.to_table()
    for key in ("title", "seed", "dataset", "evaluate", "callbacks"):
        table.pop(key, None)
    for key in ("epochs", "checkpoint_every", "keep_best"):
        table["train"].pop(key, None)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    machine = [platform.processor(), platform.machine(), gpu, torch.get_num_threads()]
    versions = [version_of(name) for name in LIBRARIES]
    facts = [table, data.image_shape, data.classes, machine, versions]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "timings" / f"{digest[:32]}.json"


def _read(file: Path, untried: list[Candidate]) -> list[Candidate]:
    """The candidates as they were measured; none if they were not."""
    try:
        candidates = [Candidate(**row) for row in json.loads(small_text(file))]
        [candidate.seconds(1) for candidate in candidates]
    except (OSError, ValueError, TypeError):
        return []
    same = [(w.precision, w.compile) for w in candidates] == [
        (w.precision, w.compile) for w in untried
    ]
    return candidates if same else []


def _write(file: Path, candidates: list[Candidate]) -> None:
    with contextlib.suppress(OSError, DvaeError):  # then the next run measures anew
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps([vars(candidate) for candidate in candidates]).encode())
