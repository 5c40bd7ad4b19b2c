"""`dvae encode`: where images lie in a run's latent space, and what is made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dvae_core.cli import streams
from dvae_core.cli.looking import EpochOption, RunPath, SplitOption, check_suffix

if TYPE_CHECKING:
    from dvae_core.latent.encodings import Encodings

EXAMPLES = (
    "dvae encode runs/mnist_abs-20260101-120000-abcd one.png two.png scans/",
    "dvae encode runs/mnist_abs-20260101-120000-abcd --out test.npz",
    "dvae encode runs/mnist_abs-20260101-120000-abcd kmnist --out kmnist.csv",
)

FORMATS = (".npz", ".csv", ".parquet")
SHOWN = 20
"""Images that have a line each; of more there is a line a class."""


def encode(
    run: RunPath,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|FOLDER|DATASET]...",
            help="Pictures, npz files with an array `images`, folders of pictures, or a data set "
            "by name; the run's own test images if left out.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write all of it to a file: .npz, .csv or .parquet.")
    ] = None,
    epoch: EpochOption = None,
    split: SplitOption = "test",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document, with a row for each image.")
    ] = False,
) -> None:
    """Say where images lie in latent space and whose that is, by both judges and the head.

    For each image: mean and log variance, the verdicts of the latent judge, the image judge and the
    guidance head, whether the mean lies in void, and how far off the image comes back.
    """
    check_suffix(out, *FORMATS)
    from dvae_core.cli.progress import patience

    with patience() as watcher:
        watcher.stage("loading the run")
        from dataclasses import replace

        from dvae_core.files import write_out
        from dvae_core.latent.loaded_run import load_run
        from dvae_core.latent.new_images import NewImages, gather
        from dvae_core.plugin.registry import load_registry

        registry = load_registry()
        loaded = load_run(run, epoch, watch=watcher, registry=registry)  # type: ignore[arg-type]
        watcher.stage("reading the images")
        own = loaded.recipe.dataset.name
        if not inputs or (inputs == [own] and not Path(own).exists()):
            seen = loaded.snapshot(watcher, split=split)  # type: ignore[arg-type]
            names = tuple(f"{split}:{n}" for n in range(len(seen.test_labels)))
            given = NewImages(seen.test_images, names, seen.test_labels)
        else:
            part: Any = split
            shape, classes = loaded.model.image_shape, loaded.classes
            given = gather(inputs, shape, classes, registry, split=part, warn=watcher.warn)
        labels = given.labels if (given.labels >= 0).any() else None
        found = loaded.encodings(given.images, watch=watcher)
        found = replace(found, names=given.names, labels=labels)
        if out is not None:
            watcher.stage("writing")
            write_out(out, found.to_bytes(out.suffix.lower()))
    if as_json:
        about = {"run": loaded.folder.name, "epoch": loaded.epoch, "classes": loaded.classes}
        print(json.dumps({**about, "images": found.rows()}))
    elif out is not None:
        streams.show(out)
    else:
        _print(f"{loaded.folder.name}, epoch {loaded.epoch}", found)


def _print(title: str, found: Encodings) -> None:
    import sys

    from rich.table import Table
    from rich.text import Text

    from dvae_core.cli.console import PlainConsole

    rows = found.rows()
    shown = [_short(row) for row in rows] if len(rows) <= SHOWN else list(_by_class(found))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in shown[0]:
        table.add_column(name, no_wrap=True, justify="left" if name in WORDS else "right")
    for row in shown:
        table.add_row(*(Text(str(cell)) for cell in row.values()))
    console = PlainConsole(
        width=None if sys.stdout.isatty() else streams.UNWRAPPED, highlight=False, soft_wrap=True
    )
    console.print(Text(f"{title}: {len(rows):,} images\n"))
    console.print(table)


WORDS = ("image", "label", "latent judge", "image judge", "head", "class")


def _short(row: dict[str, Any]) -> dict[str, str]:
    """What a line says of an image."""
    mean = [value for name, value in row.items() if name.startswith("mean_")]
    some = ", ".join(f"{value:.2f}" for value in mean[:3]) + (", …" if len(mean) > 3 else "")
    line = {"image": str(row["image"])}
    if "label" in row:
        line["label"] = row["label"] or "?"
    line["mean"] = some
    if "latent_judge" in row:
        line["latent judge"] = "void" if row["void"] else row["latent_judge"]
    for name in ("image_judge", "head"):
        if name in row:
            line[name.replace("_", " ")] = f"{row[name]} {row[f'{name}_probability']:.0%}"
    line["reconstruction"] = f"{row['reconstruction']:.4g}"
    return line


def _by_class(found: Encodings) -> Any:
    """A line for each class that images have, or are judged to have, and one for all."""
    import numpy as np

    verdicts: dict[str, np.ndarray] = {}
    if found.latent_judge is not None:
        verdicts["latent judge"] = found.latent_judge
    for name, seen in (("image judge", found.image_judge), ("head", found.head)):
        if seen is not None:
            verdicts[name] = seen.argmax(axis=1)
    known = found.labels is not None
    groups = found.labels if known else next(iter(verdicts.values()), None)
    if groups is None:
        groups = np.full(len(found), -1)
    groups = np.asarray(groups)

    def line(name: str, some: np.ndarray) -> dict[str, str]:
        row = {"class" if known or verdicts else "image": name, "images": f"{some.sum():,}"}
        if known:
            truth = np.asarray(found.labels)
            right = some & (truth >= 0)
            for judge, seen in verdicts.items():
                share = (seen == truth)[right].mean() if right.any() else float("nan")
                row[f"{judge} right"] = f"{share:.1%}"
        if found.void is not None:
            row["void"] = f"{found.void[some].mean():.1%}"
        row["reconstruction"] = f"{found.reconstruction[some].mean():.4g}"
        return row

    for c in np.unique(groups):
        yield line(found.classes[c] if c >= 0 else "unknown", groups == c)
    yield line("all", np.ones(len(found), bool))
