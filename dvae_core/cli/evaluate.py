"""`dvae evaluate`: measures a run from its folder alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dvae_core.cli import completing
from dvae_core.cli.looking import EpochOption, SplitOption

if TYPE_CHECKING:
    from dvae_core.latent.evaluation import Evaluation


EXAMPLES = (
    "dvae evaluate runs/mnist_abs-20260101-120000-abcd",
    "dvae evaluate runs/mnist_abs-20260101-120000-abcd --epoch best --json",
    "dvae evaluate runs/mnist_abs-20260101-120000-abcd --metric silhouette",
    "dvae evaluate runs/quick_val-20260101-120000-abcd --split val",
)


def evaluate(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="A run folder, or hf://user/name; the run may still be training.",
            autocompletion=completing.runs,
        ),
    ],
    epoch: EpochOption = None,
    split: SplitOption = "test",
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=completing.metrics,
            help="Measure this instead of the recipe's metrics; repeat for several.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One flat JSON object.")] = False,
) -> None:
    """Measure the metrics of a run's recipe, and the reconstruction and kl of the images."""
    from dvae_core.cli.progress import patience

    with patience() as watcher:
        watcher.stage("loading the run")
        from dvae_core.errors import RunFolderError
        from dvae_core.latent.loaded_run import load_run

        loaded = load_run(run, epoch, watch=watcher)  # type: ignore[arg-type]
        found = loaded.evaluate(metric, watch=watcher, split=split)  # type: ignore[arg-type]
        for failure in found.failures:
            watcher.say(failure)
        try:
            if loaded.between_epochs:
                found.save_details(loaded.folder.path)
            elif found.details:
                watcher.say("the run stands within an epoch, so that details are not kept")
        except RunFolderError as error:
            watcher.warn(str(error))
    if as_json:
        about = {"run": loaded.folder.name, "epoch": found.epoch, "step": found.step}
        about |= {"split": found.split} if found.split == "val" else {}
        print(json.dumps(about | found.values))
    else:
        _print_table(loaded.folder.name, found)
    if found.failures:
        raise typer.Exit(1)


def _print_table(run: str, found: Evaluation) -> None:
    from rich.table import Table
    from rich.text import Text

    from dvae_core.cli.console import PlainConsole

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("test set" if found.split == "test" else "validation set", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    for name, value in found.values.items():
        table.add_row(Text(name), f"{value:.5g}")
    console = PlainConsole(highlight=False, soft_wrap=True)
    console.print(Text(f"{run}, epoch {found.epoch}, step {found.step:,}\n"))
    console.print(table)
