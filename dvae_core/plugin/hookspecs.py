"""Every hook. Mark an implementation with `dvae_core.hookimpl`.

The `register_` hooks return component classes (or recipes, or commands) and are called once, when
plugins are loaded.
The run events are called by each run, and `sweep_finished` by whoever drives a sweep; a configured
callback has them as methods.
Hooks are for set-up and for each epoch, never for each step. Arguments are only ever added:
an implementation takes those it wants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import typer

    from dvae_core.plugin import kinds
    from dvae_core.plugin.given import Row, Run, Sweep

PROJECT = "dvae"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
EVENTS = ("run_started", "epoch_finished", "run_finished", "sweep_finished")
LATER = (*EVENTS, "doctor_facts")
"""Hooks that are not called when plugins are loaded."""


@hookspec
def register_encoders() -> Sequence[type[kinds.Encoder]]:  # type: ignore[empty-body]
    """Encoders: images to features."""


@hookspec
def register_posteriors() -> Sequence[type[kinds.Posterior]]:  # type: ignore[empty-body]
    """Posteriors: features and noise to latent points."""


@hookspec
def register_decoders() -> Sequence[type[kinds.Decoder]]:  # type: ignore[empty-body]
    """Decoders: latent points to images."""


@hookspec
def register_reconstructions() -> Sequence[type[kinds.Reconstruction]]:  # type: ignore[empty-body]
    """Reconstruction losses with their output activation."""


@hookspec
def register_kls() -> Sequence[type[kinds.KL]]:  # type: ignore[empty-body]
    """KL terms: what pulls the posterior towards a prior."""


@hookspec
def register_heads() -> Sequence[type[kinds.Head]]:  # type: ignore[empty-body]
    """Guidance heads: latent samples to class logits."""


@hookspec
def register_terms() -> Sequence[type[kinds.Term]]:  # type: ignore[empty-body]
    """Extra summands of the loss."""


@hookspec
def register_schedules() -> Sequence[type[kinds.Schedule]]:  # type: ignore[empty-body]
    """Schedules: weights over training time."""


@hookspec
def register_datasets() -> Sequence[type[kinds.Dataset]]:  # type: ignore[empty-body]
    """Data sets."""


@hookspec
def register_metrics() -> Sequence[type[kinds.Metric]]:  # type: ignore[empty-body]
    """Metrics: numbers from a snapshot."""


@hookspec
def register_plots() -> Sequence[type[kinds.Plot]]:  # type: ignore[empty-body]
    """Plots: figures from a snapshot."""


@hookspec
def register_callbacks() -> Sequence[type[kinds.Callback]]:  # type: ignore[empty-body]
    """Callbacks that a recipe can configure."""


@hookspec
def register_launchers() -> Sequence[type[kinds.Launcher]]:  # type: ignore[empty-body]
    """Launchers: where the runs of a sweep go on."""


@hookspec
def register_recipes() -> Sequence[Path]:  # type: ignore[empty-body]
    """Recipe files (.toml) of the package; each is known as `distribution:stem`."""


@hookspec
def register_commands() -> Sequence[typer.Typer]:  # type: ignore[empty-body]
    """Apps whose commands `dvae` then has, each app under the name that it gives itself."""


@hookspec
def doctor_facts() -> Mapping[str, str]:  # type: ignore[empty-body]
    """What `dvae doctor` shows of a plugin: facts that a report of a bug should have, by name."""


@hookspec
def run_started(run: Run) -> None:
    """Before the first step, or before the first step after a resume."""


@hookspec
def epoch_finished(run: Run, metrics: Row, figures: dict[str, Path]) -> None:
    """After an epoch's metrics and figures are on disk."""


@hookspec
def run_finished(run: Run, status: str) -> None:
    """At the end; `status` is finished, interrupted or failed."""


@hookspec
def sweep_finished(sweep: Sweep) -> None:
    """When all runs of a sweep have ended, and its table, figures and report are on disk."""
