"""The run folder: provenance, metrics, checkpoints. A run can be read without this program.

runs/<recipe name>-<time>-<4 letters>/
  recipe.toml      resolved, complete, runnable
  run.json         status, versions, plugins, device, seed, what the loss weighs
  metrics.jsonl    one line an epoch, flushed
  checkpoints/     epoch-0010.pt and its SHA-256; the last two are kept
  figures/         epoch-0010-latent.png
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
import secrets
import shutil
import string
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tomli_w

from dvae_core.errors import DvaeError, RunFolderError
from dvae_core.files import (
    LARGEST,
    is_inside,
    locked,
    make_folder,
    small_text,
    unwritable,
    write_atomically,
)
from dvae_core.plugin.given import Run
from dvae_core.plugin.labelled_images import LabelledImages
from dvae_core.plugin.registry import Registry
from dvae_core.recipe.balance import balance
from dvae_core.recipe.recipe import Recipe
from dvae_core.runs.checkpoints import Checkpoints, Epoch
from dvae_core.runs.early_stop import EarlyStop
from dvae_core.runs.own_recipe import file_of, own_recipe
from dvae_core.runs.provenance import (
    TIME,
    changes,
    check_info,
    environment,
    provenance,
)
from dvae_core.runs.rows import Rows

PARTS = ("checkpoints", "figures")
"""Folders that each run has."""


class RunFolder(EarlyStop, Run):
    """One run's folder. Make one with `create`, or `open` one that exists."""

    def __init__(self, path: Path, info: dict[str, Any], registry: Registry | None = None) -> None:
        self.path = path
        self._info = info
        self.registry = registry
        """Where the components of a run that goes on are looked up."""
        self.rows = Rows(path)
        """What metrics.jsonl has."""
        self._checkpoints = Checkpoints(path)

    def __getstate__(self) -> dict[str, Any]:
        # Modules of plugins, which a registry holds, cannot be sent to another process.
        return self.__dict__ | {"registry": None}

    # --- Making and finding.

    @classmethod
    def create(
        cls,
        recipe: Recipe,
        registry: Registry,
        out: Path,
        data: LabelledImages,
        facts: dict[str, Any],
        name: str | None = None,
    ) -> RunFolder:
        """A new folder under `out`, with its recipe and provenance written; `facts` go with it.

        Args:
            name: the folder's; the recipe's name, the time and four letters if left out.

        Raises:
            RunFolderError: it is there already, or cannot be written; nothing is left behind.
        """
        if name is not None and (
            name in ("", ".", "..") or "\0" in name or Path(name).name != name
        ):
            raise RunFolderError(f"{name!r} cannot name a run: it must be a folder's name alone")
        path = out / (name or new_name(recipe.name, "run"))
        made: list[Path] = []  # nothing else is removed if this fails
        try:
            for folder in (*reversed(path.parents), path, *(path / part for part in PARTS)):
                if folder == path or not folder.exists():
                    folder.mkdir()
                    made.append(folder)
            run = cls(path, provenance(path.name, recipe, registry, data) | facts, registry)
            run.set_recipe(recipe)
        except FileExistsError as error:
            raise RunFolderError(
                f"{path}: is there already, and nothing is overwritten; choose another name"
            ) from error
        except (OSError, RunFolderError) as error:
            for folder in reversed(made):
                if folder == path:
                    shutil.rmtree(path, ignore_errors=True)
                with contextlib.suppress(OSError):
                    folder.rmdir()
            raise unwritable(path, error) from error
        return run

    @classmethod
    def open(cls, path: str | Path, registry: Registry | None = None) -> RunFolder:
        """The folder of an earlier run.

        Raises:
            RunFolderError: it is no run folder, or of a format that this version cannot read.
        """
        path = Path(path)
        try:
            info = json.loads(small_text(path / "run.json"))
        except (OSError, ValueError, RecursionError) as error:
            why = "no readable run.json" if path.exists() else "there is no such folder"
            raise RunFolderError(f"{path}: not a run folder: {why}") from error
        check_info(path, info)
        return cls(path, info, registry)

    # --- What callbacks may use.

    @property
    def info(self) -> dict[str, Any]:
        return copy.deepcopy(self._info)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def sweep(self) -> str | None:
        above = self.path.absolute().parent
        return above.name if (above / "journal.jsonl").exists() else None

    @property
    def recipe_table(self) -> dict[str, Any]:
        import tomllib

        return tomllib.loads(small_text(self.path / "recipe.toml"))

    @property
    def recipe_file(self) -> Path:
        """recipe.toml, as `own_recipe.file_of`."""
        return file_of(self)

    def set_recipe(self, recipe: Recipe) -> None:
        """Write the recipe that the run follows from now on; what its loss weighs goes with it."""
        text = tomli_w.dumps(recipe.to_table())
        write_atomically(self.path / "recipe.toml", text.encode())
        known = (self._info.get(key) for key in ("train_images", "image_shape"))
        self._info["loss"] = asdict(balance(recipe, *known))
        self._write_info()

    def load_recipe(self, registry: Registry, overrides: Sequence[str] = ()) -> Recipe:
        """The run's recipe with changes laid over it, as `own_recipe`."""
        return own_recipe(self, registry, overrides)

    def remember(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"remember keeps things under a text, not under {key!r}")
        try:
            kept = json.loads(json.dumps(value))
        except (TypeError, ValueError, RecursionError) as error:
            kind = type(value).__name__
            raise TypeError(f'remember("{key}") cannot keep a {kind} as JSON: {error}') from error
        memory = self._info.get("memory", {}) | {key: kept}
        if len(json.dumps(self._info | {"memory": memory}, indent=2)) >= LARGEST:
            raise TypeError(f'remember("{key}") is larger than what run.json may hold')
        self._info["memory"] = memory
        self._write_info()

    def recall(self, key: str, default: Any = None) -> Any:
        return self._info.get("memory", {}).get(key, default)

    @property
    def told(self) -> int | None:
        """The last epoch that listeners have heard of; None where it was never noted."""
        told = self._info.get("told")
        return told if type(told) is int else None

    def note_told(self, epoch: int) -> None:
        """Listeners have heard of an epoch."""
        self._info["told"] = epoch
        self._write_info()

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Keep other processes from training in this folder, as `files.locked`."""
        return locked(self.path, "another process is training in this folder")

    # --- Status and metrics.

    def set_status(self, status: str, **facts: Any) -> None:
        """running, finished, interrupted or failed; `facts` go into run.json beside it."""
        self._info |= {"status": status, **facts}
        self._write_info()

    @property
    def status(self) -> str:
        """As run.json has it; finished too where a kill came after all that there was to train."""
        said = str(self._info.get("status", "unknown"))
        if said in ("failed", "finished"):
            return said
        try:
            epochs = self.epochs
            done = self.metrics()[-1]["epoch"] >= epochs
        except (OSError, ValueError, LookupError, TypeError, DvaeError):
            return said
        return "finished" if done and self._checkpoints.has(epochs) else said

    @property
    def epochs(self) -> int:
        """How many the run is to have, by its recipe.

        Raises:
            RunFolderError: recipe.toml cannot be read, or does not say.
        """
        try:
            return int(self.recipe_table["train"]["epochs"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise RunFolderError(f"{self.path}: recipe.toml says no number of epochs") from error

    def metrics(self) -> list[dict[str, Any]]:
        return self.rows.read()

    def note_resume(self, epoch: int, step: int, recipe: Recipe, registry: Registry) -> None:
        """Keep in run.json when the run went on, from where and with what."""
        at = {"time": time.strftime(TIME), "epoch": epoch, "step": step}
        self._info.setdefault("resumed", []).append(at | environment(recipe, registry))
        self._write_info()

    def environment_warnings(self, recipe: Recipe, registry: Registry) -> list[str]:
        """A line if the run goes on with something else than it was trained with last."""
        before = {**self._info, **(self._info.get("resumed") or [{}])[-1]}
        found = changes(before, environment(recipe, registry))
        text = f"{self.path}: the bits of a run depend on what it is trained with"
        return [f"{text}: {', '.join(found)}"] if found else []

    def tidy(self) -> None:
        """Remove what a killed process was writing, and make what is missing; under the lock."""
        for part in PARTS:
            make_folder(self.path / part, inside=self.path)
        for file in (*self.path.glob(".*.tmp"), *self.path.glob("*/.*.tmp")):
            if is_inside(file.parent, self.path):
                with contextlib.suppress(OSError):
                    file.unlink()

    def figure_path(self, epoch: int, name: str) -> Path:
        return self.path / "figures" / f"epoch-{epoch:04d}-{name}.png"

    def figures(self, epoch: int) -> dict[str, Path]:
        """The figures that were drawn after an epoch, by plot."""
        files = sorted((self.path / "figures").glob(f"epoch-{epoch:04d}-*.png"))
        return {file.stem.split("-", 2)[2]: file for file in files}

    # --- Checkpoints.

    def save_checkpoint(self, state: dict[str, Any], name: str | None = None) -> Path:
        """Write a checkpoint, as `Checkpoints.save`."""
        return self._checkpoints.save(state, name)

    def load_checkpoint(self, epoch: Epoch | None = None) -> tuple[dict[str, Any], list[str]]:
        """The newest good checkpoint or that of an epoch, as `Checkpoints.load`."""
        return self._checkpoints.load(epoch)

    def set_best_aside(self) -> Path | None:
        """Where the best checkpoint, of another goal, is now; None where there was none."""
        return self._checkpoints.set_best_aside()

    @property
    def published(self) -> bool:
        """Whether this is a copy of a run that others have shown: to look at, not to go on with."""
        return self._checkpoints.published

    def last_checkpoint(self) -> Path | None:
        return next(reversed(self._checkpoints.files()), None)

    def _write_info(self) -> None:
        text = json.dumps(self._info, indent=2) + "\n"
        write_atomically(self.path / "run.json", text.encode())


def new_name(recipe: str, otherwise: str) -> str:
    """A name for a folder that no other has: <recipe>-<time>-<4 letters>."""
    letters = "".join(secrets.choice(string.ascii_lowercase) for _ in range(4))
    stem = re.sub(r"[^\w.-]+", "_", recipe).strip("._-")[:80] or otherwise
    return f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}-{letters}"
