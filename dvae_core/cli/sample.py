"""`dvae sample`: new images of a run."""

from __future__ import annotations

from typing import Annotated

import typer

from dvae_core.cli.looking import (
    EpochOption,
    ImagesOption,
    RunPath,
    check_suffix,
    class_of,
    write_images,
)

EXAMPLES = (
    "dvae sample runs/mnist_abs-20260101-120000-abcd --class 8 -n 64",
    "dvae sample runs/mnist_abs-20260101-120000-abcd -n 1000 --out sampled.npz",
)


def sample(
    run: RunPath,
    name: Annotated[
        str | None,
        typer.Option("--class", metavar="CLASS", help="Of this class, by name or number, alone."),
    ] = None,
    count: Annotated[int, typer.Option("-n", min=1, help="How many.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="The seed of the draw.")] = 0,
    out: ImagesOption = None,
    epoch: EpochOption = None,
) -> None:
    """Draw latent points where the training images lie, and decode them.

    Each point is a sample of the posterior of a training image that is drawn too: they follow the
    aggregate posterior, of one class or of all, whatever the prior. A conditional decoder is shown
    the image's class.
    """
    check_suffix(out, ".png", ".npz")
    from dvae_core.cli.progress import patience

    with patience() as watcher:
        watcher.stage("loading the run")
        from dvae_core.latent.loaded_run import load_run

        loaded = load_run(run, epoch, watch=watcher)  # type: ignore[arg-type]
        label = class_of(name, loaded.classes, "--class")
        watcher.stage("loading the data")
        points, labels = loaded.draw(count, label, seed=seed, watch=watcher)
        watcher.stage("decoding")
        images = loaded.decode(points, labels)
        stem = f"sample-{'all' if label is None else label}-{count}-{seed}"
        write_images(images, points, labels, run, out, stem, watcher)
