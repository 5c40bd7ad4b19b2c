"""`dvae plan`: where the classes are to lie, before a step is taken."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from dvae_core.cli.recipe_file import RecipeFile
from dvae_core.cli.run import Overrides

EXAMPLES = (
    """dvae plan recipes/borders.toml --set 'pairs=[["0", "8"], ["3", "5"]]'""",
    "dvae plan my_borders.toml --out plan.png",
)


def plan(
    recipe: RecipeFile,
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option(help="The PNG file; <recipe>-plan.png if left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Draw where a recipe's prior has its classes, and say which borders that promises.

    The promise is what the judge would see were each class a normal distribution around its place.
    """
    from dvae_core.cli.progress import patience

    with patience() as watcher:
        from dvae_core.files import write_out
        from dvae_core.latent.plan import draw_plan, plan_of
        from dvae_core.latent.png import png
        from dvae_core.model.data import load_data
        from dvae_core.plugin.labelled_images import pair_name
        from dvae_core.recipe.recipe import load_recipe

        loaded = load_recipe(recipe, overrides or ())
        watcher.stage("loading the data")
        data = load_data(loaded.dataset)
        watcher.stage("looking for a layout")
        found = plan_of(loaded, data)
        watcher.stage("drawing")
        file = out or Path(f"{recipe.stem}-plan.png")
        write_out(file, png(draw_plan(found)))
    classes = found.classes
    shares = {pair_name(pair, classes): share for pair, share in found.direct.items()}
    if as_json:
        means = dict(zip(classes, found.means.tolist(), strict=True))
        print(json.dumps({"direct_path": shares, "means": means, "picture": str(file)}, indent=2))
        return
    if not shares:
        why = "it names no pairs, so that the plan promises none a border"
        print(f"""{recipe}: {why}; --set 'pairs=[["a class", "another"]]'""", file=sys.stderr)
    for name, share in shares.items():
        print(f"{name}: {100 * share:.0f} % of the paths direct")
    print(file)
