"""What a sweep found: the table of its runs, the figures and the report, in its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dvae_core.files import write_atomically
from dvae_core.pages.sweep_figures import draw_figures
from dvae_core.pages.sweep_report import sweep_report
from dvae_core.plugin.registry import Registry
from dvae_core.runs import comparison_table
from dvae_core.runs.comparison_table import Comparison
from dvae_core.runs.sweep_folder import SweepFolder
from dvae_core.sweep.watch import SweepWatch


def write_results(folder: Path, registry: Registry, watch: SweepWatch) -> SweepFolder:
    """Compare the runs of a sweep; write comparison.md, .csv, .json, the figures, report.html."""
    sweep = SweepFolder(folder, registry)
    if sweep.comparison is not None:
        tables: dict[str, Callable[[Comparison], str]] = {
            "md": comparison_table.as_markdown,
            "csv": comparison_table.as_csv,
            "json": comparison_table.as_json,
        }
        for ending, table in tables.items():
            text = f"{table(sweep.comparison).rstrip()}\n"
            write_atomically(folder / f"comparison.{ending}", text.encode())
        watch.stage("drawing figures")
        try:
            for file in draw_figures(sweep):
                watch.stage(f"drew {file.name}")
        except Exception as error:
            watch.warn(f"no figures: {type(error).__name__}: {error}")
    try:
        report = folder / "report.html"
        write_atomically(report, sweep_report(sweep, report, watch.stage).encode())
    except Exception as error:
        watch.warn(f"no report: {type(error).__name__}: {error}")
    return sweep
