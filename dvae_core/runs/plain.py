"""What a comparison adds to runs that have a plain one beside them, without guidance."""

from __future__ import annotations

from collections.abc import Sequence

from dvae_core.plugin.guard import guarded
from dvae_core.plugin.kinds import Metric
from dvae_core.plugin.registry import Registry
from dvae_core.runs.comparison_table import Run
from dvae_core.runs.differences import Settings

OF_GUIDANCE = ("guidance", "terms")
"""Tables that a plain run need not share."""


def add_against_plain(
    groups: Sequence[Sequence[Run]], registry: Registry, problems: list[str]
) -> None:
    """Add to each run's metrics what `Metric.against_plain` says of it and its plain run.

    It is asked for test images, and where both have been measured on them for validation images.

    That is the finished run of the same seed and recipe, but without guidance (or with one that
    weighs nothing) and without extra terms.

    Args:
        groups: runs of the same settings together.
        registry: the metrics.
        problems: takes a line for each metric that failed.
    """
    plain = {
        (_rest(run.settings), run.seed): run
        for group in groups
        for run in group
        if run.status == "finished" and _is_plain(run.settings)
    }
    components = [provider.component for provider in registry.of_kind("metric")]
    metrics = [component for component in components if issubclass(component, Metric)]
    for run in (run for group in groups for run in group):
        beside = plain.get((_rest(run.settings), run.seed))
        if beside is None or _is_plain(run.settings):
            continue
        measured = dict(run.metrics)
        own, other = _of_val(measured), _of_val(beside.metrics)
        for metric in metrics:
            with guarded(f'{run.path}: metric "{metric.name}" failed', problems.append):
                run.metrics.update(metric.against_plain(measured, beside.metrics))
                if own and other:
                    added = metric.against_plain(own, other)
                    run.metrics.update({f"val/{name}": v for name, v in added.items()})


def _of_val(metrics: dict[str, float]) -> dict[str, float]:
    """The figures of the validation images, named like those of the test images."""
    return {k.removeprefix("val/"): v for k, v in metrics.items() if k.startswith("val/")}


def _is_plain(settings: Settings) -> bool:
    if settings.get(("terms",)):
        return False
    return ("guidance", "name") not in settings or settings.get(("guidance", "weight")) == 0


def _rest(settings: Settings) -> str:
    """What a plain run must share, as something that can be a key."""
    return repr(sorted((k, v) for k, v in settings.items() if k[0] not in OF_GUIDANCE))
