"""What every verb that looks at a run is told: which run, as of which epoch, with which images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dvae_core.cli import completing

if TYPE_CHECKING:
    from dvae_core.cli.progress import Lines


def _epoch(text: str | None) -> Any:
    if text is None or text == "best":
        return text
    if not text.isdecimal():
        raise typer.BadParameter(f'{text!r} is neither a number nor "best"')
    return int(text)


def _split(text: str) -> str:
    if text not in ("test", "val"):
        raise typer.BadParameter(f'{text!r} is neither "test" nor "val"')
    return text


def class_of(name: str | None, classes: tuple[str, ...], option: str) -> int | None:
    """The number of a class that an option names."""
    from dvae_core.errors import printable
    from dvae_core.plugin.labelled_images import class_number

    try:
        return None if name is None else class_number(name, classes)
    except ValueError as error:
        raise typer.BadParameter(printable(str(error)), param_hint=option) from None


def check_suffix(out: Path | None, *known: str) -> None:
    """Before anything is computed: is there a format for a file of that name?"""
    if out is not None and out.suffix.lower() not in known:
        text = f"{out}: name a file that ends in {' or '.join(known)}"
        raise typer.BadParameter(text, param_hint="--out")


def fetched(context: typer.Context, runs: Path | list[Path]) -> Path | list[Path]:
    """Run folders, of which those on the hub are fetched."""
    from dvae_core.runs.hub import at_hand, is_address

    several = runs if isinstance(runs, list) else [runs]
    if context.resilient_parsing or not any(map(is_address, several)):
        return runs
    from dvae_core.cli.progress import watch

    with watch() as watcher:
        here = [at_hand(run, watcher.stage) for run in several]
    return here if isinstance(runs, list) else here[0]


RunPath = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="A run folder, or a run on the hub as hf://user/name.",
        autocompletion=completing.runs,
        callback=fetched,
    ),
]
EpochOption = Annotated[
    str | None,
    typer.Option(
        "--epoch",
        metavar="N|best",
        callback=_epoch,
        help="The epoch whose checkpoint is looked at; the newest if left out.",
    ),
]
SplitOption = Annotated[
    str,
    typer.Option(
        "--split",
        metavar="test|val",
        callback=_split,
        help="Look at the test or the validation images.",
    ),
]
ShownOption = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="CLASS",
        help="With a conditional decoder: the class to decode; no known class if left out.",
    ),
]
ImagesOption = Annotated[
    Path | None, typer.Option(help="The .png or .npz file; a PNG in the run folder if left out.")
]


def write_images(
    images: Any, points: Any, labels: Any, run: Path, out: Path | None, name: str, watcher: Lines
) -> None:
    """Write decoded images as one PNG or as an npz file with their points, and print its path.

    `name` is that of the PNG in the run folder where no file is named.
    """
    import io

    import numpy as np

    from dvae_core.cli import streams
    from dvae_core.files import make_folder, write_atomically, write_out
    from dvae_core.latent.sheet import sheet

    file = out or run / "decoded" / f"{name}.png"
    if out is None:
        make_folder(file.parent, inside=run)
    if file.suffix.lower() == ".png":
        data = sheet(images)
    else:
        buffer = io.BytesIO()
        kept = {"images": images, "points": points, "labels": labels}
        np.savez_compressed(buffer, allow_pickle=False, **kept)
        data = buffer.getvalue()
    (write_atomically if out is None else write_out)(file, data)
    streams.show(file)
