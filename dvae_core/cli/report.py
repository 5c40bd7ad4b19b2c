"""`dvae report`: all of a run or of a sweep in one file, to keep or to send."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dvae_core.cli import completing, streams
from dvae_core.errors import RunFolderError

EXAMPLES = (
    "dvae report runs/mnist_abs-20260101-120000-abcd",
    "dvae report runs/mnist_abs-20260101-120000-abcd --out mnist.html",
    "dvae report sweeps/kl_variants-20260101-120000-abcd",
)


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="A run's or a sweep's folder.",
            autocompletion=completing.runs,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where it goes; the folder's report.html if left out."),
    ] = None,
) -> None:
    """Write all of a run or of a sweep as one page, to keep or to send.

    A run: its latent space, curves, figures, metrics, recipe and provenance. A sweep: the
    comparison, curves, runs and provenance, and the latent space of the best run by its goal.
    """
    from dvae_core.cli.progress import patience

    file = out or folder / "report.html"
    with patience() as watcher:
        watcher.stage("loading")
        from dvae_core.files import write_atomically, write_out

        if (folder / "run.json").exists():
            from dvae_core.latent.loaded_run import load_run
            from dvae_core.pages.run_report import run_report

            text = run_report(load_run(folder, watch=watcher), watcher)
        elif (folder / "journal.jsonl").exists():
            from dvae_core.pages.sweep_report import sweep_report
            from dvae_core.runs.sweep_folder import SweepFolder

            text = sweep_report(SweepFolder(folder), file, watcher.stage)
        else:
            raise RunFolderError(f"{folder}: {_what_it_is(folder)}")
        # Only what the user has named is written through: a link here may be a stranger's.
        (write_atomically if out is None else write_out)(file, text.encode())
    streams.show(file)


def _what_it_is(folder: Path) -> str:
    if not folder.is_dir():
        return "there is no such folder"
    inside = sorted(file.parent for file in folder.glob("*/run.json"))
    text = "neither a run's nor a sweep's folder: it has no run.json and no journal.jsonl"
    if inside:
        text += f"; it holds runs, so name one of them, such as {inside[0]}, or use dvae compare"
    return text
