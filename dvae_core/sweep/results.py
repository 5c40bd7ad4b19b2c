"""What a sweep found: the table of its runs and the figures, in its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dvae_core import comparison_tables
from dvae_core.comparison import Comparison, compare_runs
from dvae_core.errors import RunFolderError
from dvae_core.files import write_atomically
from dvae_core.registry import Registry
from dvae_core.sweep.figures import draw_figures
from dvae_core.sweep.watching import SweepWatch


def write_results(
    folder: Path, goal: str | None, registry: Registry, watch: SweepWatch
) -> Comparison | None:
    """Compare the runs of a sweep, and write comparison.md, .csv and .json and the figures.

    Returns:
        None where no run has anything to compare.
    """
    try:
        found = compare_runs([folder], registry=registry)
    except RunFolderError:
        return None
    tables: dict[str, Callable[[Comparison], str]] = {
        "md": comparison_tables.as_markdown,
        "csv": comparison_tables.as_csv,
        "json": comparison_tables.as_json,
    }
    for ending, table in tables.items():
        write_atomically(folder / f"comparison.{ending}", f"{table(found).rstrip()}\n".encode())
    watch.stage("drawing figures")
    try:
        for file in draw_figures(folder, found, goal):
            watch.stage(f"drew {file.name}")
    except Exception as error:
        watch.warn(f"no figures: {type(error).__name__}: {error}")
    return found
