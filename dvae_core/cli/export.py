"""`dvae export`: the trained model, for use elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dvae_core.cli import streams
from dvae_core.cli.looking import RunPath

EXAMPLES = (
    "dvae export runs/mnist_abs-20260101-120000-abcd",
    "dvae export runs/mnist_abs-20260101-120000-abcd --out model",
)


def export(
    run: RunPath,
    out: Annotated[
        Path | None, typer.Option(help="Where the files go; the run folder's export/ if left out.")
    ] = None,
) -> None:
    """Write the weights as safetensors, the recipe inside, and encoder and decoder as ONNX."""
    from dvae_core.cli.progress import watch

    with watch() as watcher:
        watcher.stage("loading")
        from dvae_core.files import make_folder
        from dvae_core.latent.loaded_run import load_run
        from dvae_core.model.export import export as write

        loaded = load_run(run, watch=watcher)
        watcher.stage("exporting")
        if out is None:
            make_folder(run / "export", inside=run)
        files = write(loaded.model, loaded.recipe, loaded.folder.name, out or run / "export")
    for file in files:
        streams.show(file)
