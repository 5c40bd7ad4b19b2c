"""`dvae push`: a run for others to look at."""

from __future__ import annotations

from typing import Annotated

import typer

from dvae_core.cli.looking import EpochOption, RunPath

EXAMPLES = (
    "dvae push runs/mnist_abs-20260101-120000-abcd hf://ada/digits",
    "dvae explore hf://ada/digits",
)


def push(
    run: RunPath,
    address: Annotated[str, typer.Argument(metavar="hf://USER/NAME", help="Where it goes.")],
    epoch: EpochOption = None,
    private: Annotated[
        bool, typer.Option("--private", help="A new repository is for its owner alone.")
    ] = False,
) -> None:
    """Put a run on the Hugging Face hub: weights, recipe, figures and a card that tells of it."""
    from dvae_core.cli.progress import watch

    with watch() as watcher:
        watcher.stage("reading the run")
        from dvae_core.runs.folder import RunFolder
        from dvae_core.runs.hub import push as send

        page = send(RunFolder.open(run), address, epoch, private=private, say=watcher.stage)  # type: ignore[arg-type]
    print(page)
