"""`dvae sweep`: many runs from one recipe, and what they found."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dvae_core.cli import completing, streams
from dvae_core.cli.recipe_file import SweepFile
from dvae_core.cli.run import Overrides, check_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dvae_core.cli.sweep_progress import Lines


EXAMPLES = (
    "dvae sweep recipes/sweeps/kl_variants.toml",
    "dvae sweep recipes/sweeps/kl_variants.toml --dry-run --set train.epochs=2",
    "dvae sweep recipes/sweeps/kl_variants.toml --resume sweeps/kl_variants-20260101-120000-abcd",
)


def sweep(
    sweep_file: SweepFile,
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="Where the sweep's folder is made.")] = Path("sweeps"),
    launcher: Annotated[
        str | None, typer.Option(metavar="NAME", help="Run there, whatever the file says.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            autocompletion=completing.runs,
            help="Go on with this sweep. The file may plan more runs than before.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="List the runs, and how long they would take by one measured epoch."
        ),
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="With --resume: run failed runs again.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train every run of a sweep and compare them. The last line of stdout is its folder.

    Finished runs are never run again. A run that fails is reported and stops no other.
    """
    check_folder(out)

    from dvae_core.cli.sweep_progress import watch
    from dvae_core.sweep.driver import run_sweep

    with watch() as watcher:
        if dry_run:
            _forecast(sweep_file, overrides or (), launcher, watcher, as_json)
            return
        outcome = run_sweep(
            sweep_file,
            out,
            overrides=overrides or (),
            launcher=launcher,
            resume=resume,
            retry=retry,
            watch=watcher,
        )
    if outcome.comparison is not None and not as_json:
        from dvae_core.cli.tables import print_comparison

        print_comparison(outcome.comparison)
    for name, error in outcome.failed.items():
        watcher.say(f"{name}: failed: {error}")
    if outcome.failed:
        watcher.say("--resume with --retry runs failed runs again")
    if as_json:
        from dvae_core.runs import comparison_table

        table = outcome.comparison and json.loads(comparison_table.as_json(outcome.comparison))
        _print_json(sweep=str(outcome.path), failed=outcome.failed, comparison=table)
    else:
        streams.show(outcome.path)
    if outcome.failed:
        raise typer.Exit(1)


def _forecast(
    sweep_file: Path, overrides: Sequence[str], launcher: str | None, watcher: Lines, as_json: bool
) -> None:
    from dvae_core.cli.sweep_progress import duration
    from dvae_core.sweep.dry_run import forecast

    found = forecast(sweep_file, overrides=tuple(overrides), launcher=launcher, watch=watcher)
    if as_json:
        _print_json(forecast={**asdict(found), "seconds": found.seconds})
        return
    for name, epochs in found.runs.items():
        print(f"{name}: {epochs} epochs")
    many = f" {found.at_once} at once," if found.at_once else " one after the other,"
    watcher.say(
        f"{len(found.runs)} runs, {sum(found.runs.values()):,} epochs of about "
        f"{found.epoch_seconds:.1f} s each:{many} about {duration(found.seconds)}"
    )


def _print_json(**facts: Any) -> None:
    nothing: dict[str, Any] = {"sweep": None, "failed": {}, "comparison": None, "forecast": None}
    print(json.dumps({**nothing, **facts}))
