"""`dvae compare`: runs beside each other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from dvae_core.cli import completing

EXAMPLES = (
    "dvae compare runs",
    "dvae compare runs/mnist_abs-20260101-120000-abcd runs/mnist_square-20260101-121500-efgh",
    "dvae compare runs --metric knn_accuracy --metric train/guidance_accuracy --markdown",
)


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Run folders, or folders of run folders.",
            autocompletion=completing.runs,
        ),
    ],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Show this metric of metrics.jsonl; repeat for several. All of the test set if "
            "left out.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated, all digits.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="A GitHub table.")] = False,
) -> None:
    """Show what runs differ in, and their last epoch's metrics.

    Runs that differ only in their seed share a row: mean ± 95 % confidence interval (Student's t).
    The best of each metric is marked *, and ≈ what a t-test does not tell apart from it (paired
    over shared seeds, or else Welch's; p ≥ 0.05, corrected by Holm for the rows of a metric, not
    for the number of metrics).
    """
    if as_json + as_csv + as_markdown > 1:
        raise typer.BadParameter("choose one of --json, --csv and --markdown")
    from dvae_core.cli.tables import print_comparison
    from dvae_core.errors import printable
    from dvae_core.runs import comparison_table
    from dvae_core.runs.comparison import compare_runs

    found = compare_runs(runs, metric or ())
    for line in found.left_out:
        print(printable(f"left out: {line}"), file=sys.stderr)
    if as_json:
        print(comparison_table.as_json(found))
    elif as_csv:
        print(printable(comparison_table.as_csv(found)), end="")
    elif as_markdown:
        print(printable(comparison_table.as_markdown(found)))
    else:
        print_comparison(found)
