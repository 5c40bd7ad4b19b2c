"""`dvae report`: all of a run or of a sweep in one file, to keep or to send."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dvae_core.errors import RunFolderError

if TYPE_CHECKING:
    from dvae_core.watch import Watch


def add_to(app: typer.Typer) -> None:
    app.command(
        "report",
        epilog="Examples:\n\ndvae report runs/mnist_abs-20260101-120000-abcd\n\n"
        "dvae report runs/mnist_abs-20260101-120000-abcd --out mnist.html\n\n"
        "dvae report sweeps/kl_variants-20260101-120000-abcd",
    )(report)


def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A run's or a sweep's folder.")],
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
        from dvae_core.files import write_atomically

        if (folder / "run.json").exists():
            text = _of_run(folder, watcher)
        elif (folder / "journal.jsonl").exists():
            text = _of_sweep(folder, file, watcher)
        else:
            raise RunFolderError(f"{folder}: {_what_it_is(folder)}")
        write_atomically(file, text.encode())
    print(file)


def _of_run(folder: Path, watch: Watch) -> str:
    from dvae_core.explore.content import Explored
    from dvae_core.explore.page import page
    from dvae_core.explore.report import report as sections
    from dvae_core.loaded_run import load_run

    loaded = load_run(folder, watch=watch)
    content = Explored(loaded, (), watch).content()
    return page([content], sections(loaded.folder, loaded.epoch))


def _of_sweep(folder: Path, file: Path, watch: Watch) -> str:
    from dvae_core.sweep.folder import SweepFolder
    from dvae_core.sweep.report import sweep_report

    return sweep_report(SweepFolder(folder), file, watch.stage)


def _what_it_is(folder: Path) -> str:
    if not folder.is_dir():
        return "there is no such folder"
    inside = sorted(file.parent for file in folder.glob("*/run.json"))
    text = "neither a run's nor a sweep's folder: it has no run.json and no journal.jsonl"
    if inside:
        text += f"; it holds runs, so name one of them, such as {inside[0]}, or use dvae compare"
    return text
