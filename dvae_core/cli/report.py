"""`dvae report`: all of a run in one file, to keep or to send."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    app.command(
        "report",
        epilog="Examples:\n\ndvae report runs/mnist_abs-20260101-120000-abcd\n\n"
        "dvae report runs/mnist_abs-20260101-120000-abcd --out mnist.html",
    )(report)


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where it goes; the run's report.html if left out."),
    ] = None,
) -> None:
    """Write a run's latent space, curves, figures, metrics, recipe and provenance as one page."""
    from dvae_core.cli.progress import patience

    with patience() as watcher:
        watcher.stage("loading")
        from dvae_core.explore.content import Explored
        from dvae_core.explore.page import page
        from dvae_core.explore.report import report as sections
        from dvae_core.files import write_atomically
        from dvae_core.loaded_run import load_run

        loaded = load_run(run, watch=watcher)
        content = Explored(loaded, (), watcher).content()
        file = out or run / "report.html"
        write_atomically(file, page([content], sections(loaded.folder, loaded.epoch)).encode())
    print(file)
