"""`dvae run`: train a recipe, or go on with a run."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dvae_core.cli import completing, streams
from dvae_core.cli.recipe_file import MaybeRecipeFile
from dvae_core.errors import RecipeError
from dvae_core.training.ranks.torchrun import Process

if TYPE_CHECKING:
    from dvae_core.recipe.recipe import Recipe

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value; repeat for several."),
]


EXAMPLES = (
    "dvae run quick",
    "dvae run mnist_abs --set kl.weight=1.0 --set train.epochs=20",
    "dvae run --resume runs/mnist_abs-20260101-120000-abcd",
    "torchrun --nproc-per-node 2 -m dvae_core run mnist_abs",
)


def run(
    recipe: MaybeRecipeFile = None,
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="Where the run folder is made.")] = Path("runs"),
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Go on with this run folder.", autocompletion=completing.runs
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and build the model, no more.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document, with the last epoch's figures.")
    ] = False,
) -> None:
    """Train a recipe. The last line of stdout is the run folder."""
    from dvae_core.recipe.recipe import load_recipe

    if recipe is None and resume is None:
        raise typer.BadParameter("give a recipe, or --resume RUN", param_hint="RECIPE")
    if resume is not None:
        from dvae_core.plugin.registry import load_registry
        from dvae_core.runs.folder import RunFolder

        loaded = RunFolder.open(resume).load_recipe(load_registry(), overrides or ())
    if recipe is not None:
        loaded = load_recipe(recipe, overrides or ())
    check_folder(out)

    from dvae_core.cli.progress import watch

    first = Process.here().rank == 0
    with watch() as watcher:
        watcher.stage("starting")
        if dry_run:
            if first:
                _describe(loaded, watcher, as_json)
            return
        from dvae_core.recipe import took
        from dvae_core.recipe.goal import Goal
        from dvae_core.training.run import resume_run, run_recipe

        started = time.monotonic()
        goal = Goal.of(loaded.train.keep_best)
        watcher.goal = goal.key if goal else ""
        watcher.chosen = loaded.evaluate.line or ()
        if resume is not None:
            done = resume_run(resume, loaded, watch=watcher)
        else:
            done = run_recipe(loaded, out, watch=watcher)
        if first:
            watcher.finished(done)
        whole = done.info["status"] == "finished" and resume is None and not overrides
        if first and recipe is not None and whole:
            took.keep(recipe, time.monotonic() - started)
    if first and as_json:
        info, rows = done.info, done.metrics()
        last = {k: v for k, v in rows[-1].items() if k not in ("epoch", "step")} if rows else {}
        _print_json(
            run=str(done.path),
            status=info["status"],
            epoch=rows[-1]["epoch"] if rows else 0,
            metrics={k: v if math.isfinite(v) else None for k, v in last.items() if v is not None},
        )
    elif first:
        streams.show(done.path)


def check_folder(out: Path) -> None:
    """Before torch is loaded and data is read; the run folder itself is made after that."""
    if out.exists() and not out.is_dir():
        raise RecipeError(f"--out {out}: is a file, not a folder")


def _describe(recipe: Recipe, watcher: Any, as_json: bool) -> None:
    from dvae_core.training.run import prepare

    training = prepare(recipe, watcher)
    data, steps = training.data, training.timeline.steps_per_epoch
    parameters = sum(p.numel() for p in training.model.parameters())
    held_out = 0 if data.validation_images is None else len(data.validation_images)
    if as_json:
        prepared = {
            "train_images": len(data.train_images),
            "validation_images": held_out,
            "image_shape": data.image_shape,
            "parameters": parameters,
            "device": str(training.device),
            "terms": training.objective.names,
            "epochs": training.recipe.train.epochs,
            "steps_per_epoch": steps,
        }
        _print_json(prepared=prepared)
        return
    shape = "x".join(map(str, data.image_shape))
    print(f"data       {len(data.train_images):,} training images of {shape}")
    if held_out:
        print(f"           {held_out:,} validation images")
    print(f"model      {parameters:,} parameters on {training.device}")
    print(f"terms      {', '.join(training.objective.names)}")
    print(f"length     {training.recipe.train.epochs} epochs of {steps:,} steps")


def _print_json(**facts: Any) -> None:
    nothing: dict[str, Any] = {
        "run": None,
        "status": None,
        "epoch": None,
        "metrics": {},
        "prepared": None,
    }
    print(json.dumps({**nothing, **facts}))
