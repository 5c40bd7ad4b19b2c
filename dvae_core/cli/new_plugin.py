"""`dvae new-plugin`: a package to start from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from dvae_core.cli.kinds import check_kind
from dvae_core.errors import RecipeError

EXAMPLES = (
    "dvae new-plugin dvae-halving --kind schedule",
    "dvae new-plugin dvae-shapes --kind dataset --kind metric",
)


def new_plugin(
    name: Annotated[str, typer.Argument(help="The package's name, such as dvae-halving.")],
    kinds: Annotated[
        list[str],
        typer.Option("--kind", help="What it adds, such as schedule; repeat for several."),
    ],
    out: Annotated[Path, typer.Option(help="Where its folder is made.")] = Path("."),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a package that adds components: it installs, its tests pass, its recipe runs."""
    from dvae_core.plugin.scaffold import new_plugin, way_to_use

    for kind in kinds:
        check_kind(kind, "--kind: ")
    if not out.is_dir():
        raise RecipeError(f"--out {out}: there is no such folder")
    folder = new_plugin(name, kinds, out)
    steps = (f"cd {folder}", "pip install -e '.[test]'", "pytest", way_to_use(kinds))
    if as_json:
        print(json.dumps({"folder": str(folder), "next": steps}))
        return
    print(folder)
    print("\n  ".join(("Next:", *steps)), file=sys.stderr)
