"""`dvae morph`: goes from one class to another and shows what lies between them."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dvae_core.cli import streams
from dvae_core.cli.looking import RunPath, ShownOption

if TYPE_CHECKING:
    from dvae_core.latent.morph import Morph

EXAMPLES = (
    "dvae morph runs/mnist_borders-20260101-120000-abcd 0 8",
    "dvae morph runs/fashion_abs-20260101-120000-abcd sneaker 'ankle boot' --route border",
)


class Route(enum.StrEnum):
    straight = "straight"
    border = "border"


def morph(
    run: RunPath,
    a: Annotated[str, typer.Argument(metavar="A", help="A class, by name or number.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    steps: Annotated[int, typer.Option(min=2, max=100, help="Images on the path.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Chooses the image at each end.")] = 0,
    route: Annotated[
        Route, typer.Option(help="The straight line, or over the nearest shared border.")
    ] = Route.straight,
    shown: ShownOption = None,
    animate: Annotated[bool, typer.Option("--animate", help="Write a GIF too.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="The PNG file; one in the run folder if left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Draw the path from one class to another: its images, both judges' verdicts, the map."""
    from dvae_core.cli.progress import patience

    if out is not None and out.suffix.lower() not in (".png", ""):
        text = f"{out}: the picture is a PNG; name a file that ends in .png"
        raise typer.BadParameter(text, param_hint="--out")
    if animate and out is not None and not out.suffix:
        text = f"{out}: the GIF takes the picture's name; name a file that ends in .png"
        raise typer.BadParameter(text, param_hint="--out")

    with patience() as watcher:
        watcher.stage("loading the run")
        from dvae_core.errors import printable
        from dvae_core.files import make_folder, write_atomically, write_out
        from dvae_core.latent.loaded_run import load_run
        from dvae_core.latent.morph import morph as find
        from dvae_core.latent.morph_picture import animate_morph, describe_morph, draw_morph
        from dvae_core.latent.png import png
        from dvae_core.plugin.labelled_images import class_number

        loaded = load_run(run, watch=watcher)
        try:
            start, end = (class_number(name, loaded.classes) for name in (a, b))
            label = None if shown is None else class_number(shown, loaded.classes)
        except ValueError as error:
            raise typer.BadParameter(printable(str(error))) from None
        if start == end:
            raise typer.BadParameter("a morph needs two classes")
        watcher.stage("finding the path")
        snapshot = loaded.look(watcher).showing(label)
        found = find(snapshot, start, end, steps=steps, seed=seed, route=route.value)
        if not found.direct:
            hint = "; --route border looks for one" if route is Route.straight else ""
            watcher.say(f"the path {describe_morph(snapshot, found)}{hint}")
        watcher.stage("drawing")
        name = f"{start}-{end}-{route}-{seed}" + ("" if label is None else f"-as-{label}")
        file = out or run / "morphs" / f"{name}.png"
        make_folder(file.parent, parents=True, inside=run if out is None else None)
        write = write_atomically if out is None else write_out
        write(file, png(draw_morph(snapshot, found)))
        moving = file.with_suffix(".gif") if animate else None
        if moving is not None:
            watcher.stage("drawing the moving picture")
            write(moving, animate_morph(snapshot, found))
    if as_json:
        print(json.dumps(_facts(found, loaded.classes, file, moving), indent=2))
        return
    for written in (file, moving):
        if written is not None:
            streams.show(written)


def _facts(
    found: Morph, classes: tuple[str, ...], file: Path, moving: Path | None
) -> dict[str, Any]:
    steps = [
        {
            "latent_judge": classes[verdict] if verdict >= 0 else None,
            "image_judge": classes[int(seen.argmax())],
            "image_judge_probability": float(seen.max()),
        }
        for verdict, seen in zip(found.verdicts, found.probabilities, strict=True)
    ]
    return {
        "a": classes[found.a],
        "b": classes[found.b],
        "route": found.route,
        "direct": found.direct,
        "strangers": [classes[c] for c in found.strangers],
        "crosses_void": found.crosses_void,
        "realism": found.realism,
        "steps": steps,
        "picture": str(file),
        "animation": None if moving is None else str(moving),
    }
