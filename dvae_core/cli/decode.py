"""`dvae decode`: the images of latent points."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dvae_core.cli.looking import (
    EpochOption,
    ImagesOption,
    RunPath,
    ShownOption,
    check_suffix,
    class_of,
    write_images,
)

EXAMPLES = (
    "dvae decode runs/mnist_abs-20260101-120000-abcd --points points.csv",
    "dvae decode runs/mnist_abs-20260101-120000-abcd --points test.npz --out decoded.npz",
)


def decode(
    run: RunPath,
    points: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="An npz file with an array `points` or `mean`, or a CSV file with a point a line.",
        ),
    ],
    shown: ShownOption = None,
    out: ImagesOption = None,
    epoch: EpochOption = None,
) -> None:
    """Decode latent points, such as `dvae encode` writes: a picture of them all, or arrays."""
    check_suffix(out, ".png", ".npz")
    from dvae_core.cli.progress import patience

    with patience() as watcher:
        watcher.stage("loading the run")
        import numpy as np

        from dvae_core.errors import DvaeError
        from dvae_core.latent.loaded_run import load_run
        from dvae_core.latent.points import read_points

        loaded = load_run(run, epoch, watch=watcher)  # type: ignore[arg-type]
        label = class_of(shown, loaded.classes, "--as")
        if label is not None and not loaded.model.conditional:
            raise DvaeError("the decoder takes no labels, so no class can be asked for")
        found = read_points(points, loaded.recipe.latent.dim)
        watcher.stage("decoding")
        labels = np.full(len(found), -1 if label is None else label)
        images = loaded.decode(found, labels)
        write_images(images, found, labels, run, out, points.stem, watcher)
