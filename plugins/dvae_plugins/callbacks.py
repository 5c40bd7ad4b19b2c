"""Callbacks: what listens to a run."""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from dvae_core import Callback, hookimpl

if TYPE_CHECKING:
    from dvae_core import RunFolder

INIT_TIMEOUT = 15
"""Seconds to wait for a server at the start; after that the run is logged offline."""
FINISH_TIMEOUT = 30
"""Seconds to wait for the last uploads."""


class WandB(Callback):
    """Weights & Biases: scalars and figures of each epoch, with the recipe as the config.

    metrics.jsonl stays the source of truth; this is a copy. Offline runs lie in the run folder's
    wandb/ and are uploaded by `wandb sync`.
    """

    name = "wandb"

    project: str = Field(default="dvae", min_length=1)
    """The project on the server."""
    entity: str | None = None
    """The user or team; the account's default, if left out."""
    mode: Literal["auto", "online", "offline"] = "auto"
    """auto is online with an API key and offline without."""
    tags: tuple[str, ...] = ()
    """Tags of the run."""

    _run: Any = None

    def run_started(self, run: RunFolder) -> None:
        import wandb

        logging.getLogger("wandb").setLevel(logging.ERROR)
        run_id = run.recall("wandb_id") or secrets.token_hex(4)
        run.remember("wandb_id", run_id)
        mode = self._mode()
        try:
            self._run = self._init(run, run_id, mode)
        except Exception:
            if mode != "online":
                raise
            # The server does not answer, or refuses the key: the same run, kept here.
            wandb.teardown()
            self._run = self._init(run, run_id, "offline")

    def epoch_finished(
        self, run: RunFolder, metrics: dict[str, float], figures: dict[str, Path]
    ) -> None:
        import wandb

        step = int(metrics["step"])
        # Twice, because W&B files an image under the step that it has heard of last.
        self._run.log(metrics, step=step)
        images = {f"figures/{name}": wandb.Image(str(path)) for name, path in figures.items()}
        self._run.log(images, step=step)

    def run_finished(self, run: RunFolder, status: str) -> None:
        if self._run is not None:
            self._run.finish(exit_code=0 if status == "finished" else 1)

    def _mode(self) -> Any:
        import wandb

        if self.mode != "auto":
            return self.mode
        if "WANDB_MODE" in os.environ:
            return os.environ["WANDB_MODE"]
        return "online" if wandb.login(prompt=False, verify=False) else "offline"

    def _init(self, run: RunFolder, run_id: str, mode: Any) -> Any:
        import wandb

        return wandb.init(
            project=self.project,
            entity=self.entity,
            name=run.name,
            id=run_id,
            resume="allow" if mode == "online" else None,
            config=run.recipe_table,
            tags=list(self.tags),
            dir=str(run.path),
            mode=mode,
            settings=wandb.Settings(
                init_timeout=INIT_TIMEOUT,
                finish_timeout=FINISH_TIMEOUT,
                silent=True,
                console="off",
                save_code=False,
            ),
        )


@hookimpl
def register_callbacks() -> list[type[Callback]]:
    return [WandB]
