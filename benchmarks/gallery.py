"""The pictures of docs/gallery.md and of the README, from runs of the recipes that ship.

    python -m benchmarks.gallery --runs DIR

Takes the finished runs of seed 1 that lie in DIR and trains what is missing there. Pictures of the
explore page need Chromium (`pip install ".[test]"` has what steers it).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import film
from benchmarks.browser import browser
from benchmarks.documents import DOCS, ROOT, save_picture, stamp, write_below_mark

FIGURES = {
    "mnist_abs": ("latent", "manifold", "reconstructions"),
    "mnist_borders": ("regions", "direct_paths", "manifold"),
    "fashion_borders": ("regions", "direct_paths", "manifold"),
}
"""What is shown of each recipe's run, from its last epoch."""
MORPHS = {"mnist_borders": ("0", "8"), "fashion_borders": ("trouser", "dress")}
SCREENS = {
    "explore-desktop": {"width": 1280, "height": 1000, "scheme": "light"},
    "explore-dark": {"width": 1280, "height": 1000, "scheme": "dark"},
    "explore-phone": {"width": 390, "height": 1100, "scheme": "light"},
    "explore-phone-dark": {"width": 390, "height": 1100, "scheme": "dark"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="where the runs are or shall be")
    runs = parser.parse_args().runs
    found = {name: run(runs, name, 1) for name in FIGURES}
    parts = [f"Made on {stamp()}, by `python -m benchmarks.gallery --runs DIR`; seed 1 of each."]
    parts += [section(name, folder) for name, folder in found.items()]
    screenshots(film.run(runs))
    parts.append(
        "## The explore page of the run that the README opens with\n\n"
        "| light | dark | on a phone | |\n|---|---|---|---|\n"
        f"| {' | '.join(f'![{name}](images/{name}.png)' for name in SCREENS)} |"
    )
    write_below_mark(DOCS / "gallery.md", "benchmarks/gallery.py", parts)


def run(runs: Path, name: str, seed: int) -> Path:
    """The folder of a recipe's run with a seed, trained if need be."""
    from dvae_core import load_recipe, run_recipe
    from dvae_core.cli.progress import watch

    for info in sorted(runs.glob(f"{name}-*/run.json")):
        facts = json.loads(info.read_text())
        if facts["status"] == "finished" and facts["seed"] == seed:
            return info.parent
    recipe = load_recipe(ROOT / "recipes" / f"{name}.toml", [f"seed={seed}", "callbacks=[]"])
    with watch() as watcher:
        return run_recipe(recipe, runs, watch=watcher).path


def newest_figure(folder: Path, plot: str) -> Path:
    return sorted((folder / "figures").glob(f"epoch-*-{plot}.png"))[-1]


def section(name: str, folder: Path) -> str:
    """The pictures of a run, written among the documents' images, and the lines that show them."""
    names = FIGURES[name]
    for plot in names:
        save_picture(newest_figure(folder, plot).read_bytes(), f"{name}-{plot}")
    shown = [f"![{plot}](images/{name}-{plot}.png)" for plot in names]
    lines = [
        f"## `recipes/{name}.toml`\n\n| {' | '.join(names)} |\n{'|---' * len(names)}|\n"
        f"| {' | '.join(shown)} |"
    ]
    if name in MORPHS:
        lines.append(morphed(name, folder, *MORPHS[name]))
    return "\n\n".join(lines)


def morphed(name: str, folder: Path, a: str, b: str) -> str:
    from dvae_core import class_number, draw_morph, load_run, morph

    loaded = load_run(folder)
    snapshot = loaded.snapshot()
    found = morph(snapshot, class_number(a, loaded.classes), class_number(b, loaded.classes))
    save_picture(draw_morph(snapshot, found), f"{name}-morph")
    return f"`dvae morph RUN {a} {b}`:\n\n![a morph from {a} to {b}](images/{name}-morph.png)"


def screenshots(folder: Path) -> None:
    """The explore page of a run, with the morph between the first named pair."""
    from dvae_core import explore_page, load_run

    with tempfile.TemporaryDirectory() as scratch, browser() as chromium:
        file = Path(scratch) / "page.html"
        file.write_text(explore_page(load_run(folder)), encoding="utf-8")
        for name, screen in SCREENS.items():
            save_picture(_screenshot(chromium, file, screen), name)


def _screenshot(chromium: Any, file: Path, screen: dict[str, Any]) -> bytes:
    size = {"width": screen["width"], "height": screen["height"]}
    page = chromium.new_page(viewport=size, color_scheme=screen["scheme"])
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]")
    page.click(".play-morph")
    page.wait_for_timeout(4000)  # until it is over
    image: bytes = page.screenshot()
    page.close()
    return image


if __name__ == "__main__":
    main()
