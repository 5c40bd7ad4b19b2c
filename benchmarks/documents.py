"""Figures and pictures that benchmarks write into the documents."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PICTURES = DOCS / "images"
RESULTS = Path(__file__).parent / "results"
"""What runs came to that took too long to be made again for each change of a document."""


def write_below_mark(document: Path, writer: str, parts: list[str]) -> None:
    """Replace what a benchmark has written into a document; what stands above the mark is ours."""
    mark = f"<!-- What follows is written by {writer}. -->"
    text = document.read_text(encoding="utf-8").split(mark)[0].rstrip()
    document.write_text("\n\n".join([text, mark, *parts]) + "\n", encoding="utf-8")
    print(document)


def finished(folder: Path, recipe: Path, changes: list[str]) -> Path:
    """The folder of a run of this recipe: taken as it is, gone on with, or trained now."""
    from dvae_core import RunFolder, load_recipe, resume_run, run_recipe

    if not folder.exists():
        run_recipe(load_recipe(recipe, changes), folder.parent, name=folder.name)
    elif RunFolder.open(folder).info["status"] != "finished":
        resume_run(folder)
    return folder


def save_picture(figure: Any, name: str) -> None:
    """A matplotlib figure, or a PNG's bytes, among the documents' images.

    With a palette: a third of the size, and no difference to see.
    """
    from PIL import Image

    png = io.BytesIO()
    if isinstance(figure, bytes):
        png.write(figure)
    else:
        figure.savefig(png, format="png", dpi=90)
    # kmeans: without it small things, such as a legend, take the colours of large ones.
    image = Image.open(png).convert("RGB").quantize(256, kmeans=3)
    image.save(PICTURES / f"{name}.png", optimize=True)


def stamp() -> str:
    """When and with what figures were measured."""
    from importlib.metadata import version

    from benchmarks.report import machine

    here = machine()
    return (
        f"{here['date']} with dvae-core {version('dvae-core')} and torch {here['torch']}, "
        f"{here['cores']} cores ({here['cpu_capability']})"
    )


def stamp_of(run: Path) -> str:
    """When a run was trained, and with what."""
    from dvae_core import RunFolder

    info = RunFolder.open(run).info
    core, torch = (info["versions"][name] for name in ("dvae-core", "torch"))
    return f"{info['started'][:10]} with dvae-core {core} and torch {torch}"
