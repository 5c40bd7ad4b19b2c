"""Logs a run to Weights & Biases, online or offline."""

from __future__ import annotations

import hashlib
import secrets
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PrivateAttr

from dvae_core import Callback
from dvae_plugins.callbacks import wandb_session
from dvae_plugins.callbacks import wandb_tables as tables

if TYPE_CHECKING:
    from dvae_core import Comparison, Run, Sweep

ARTIFACT_TIMEOUT = 120
"""Seconds to wait for a server that was asked to take the checkpoints."""


class WandB(Callback):
    """Weights & Biases: scalars and figures of each epoch, with the recipe as the config.

    A finished run also leaves its page of `dvae explore` and a table of test images: what comes
    back, where they lie, what the judge and the head say. The summary has the lowest value of each
    loss and the highest of each accuracy beside the last one.

    metrics.jsonl stays the source of truth; this is a copy. Offline runs lie in the run folder's
    wandb/ and are uploaded by `wandb sync`. The runs of a sweep are a group of its name; at its end
    one more run joins them, a "summary" with the table, the figures and the report.
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
    table: int = Field(default=200, ge=0, le=10_000)
    """Test images in the table, as many of each class alike; 0 for no table."""
    artifacts: bool = False
    """Whether a finished run leaves its checkpoints, as an artifact of the type "model"."""

    _run: Any = None
    _defined: set[str] = PrivateAttr(default_factory=set)

    def run_started(self, run: Run) -> None:
        run_id = run.recall("wandb_id") or secrets.token_hex(4)
        run.remember("wandb_id", run_id)
        self._run = self._start(
            run.path, run_id, name=run.name, group=run.sweep, config=run.recipe_table
        )

    def epoch_finished(self, run: Run, metrics: dict[str, float], figures: dict[str, Path]) -> None:
        if self._run is None:
            return
        import wandb

        step = int(metrics["step"])
        try:
            self._define(metrics)
            # Twice, because W&B files an image under the step that it has heard of last.
            self._run.log(metrics, step=step)
            images = {f"figures/{name}": wandb.Image(str(path)) for name, path in figures.items()}
            self._run.log(images, step=step)
        except Exception:
            self._run = None
            wandb_session.let_go()
            raise

    def run_finished(self, run: Run, status: str) -> None:
        if self._run is None:
            return
        with wandb_session.ending(run.path):
            if status == "finished":
                self._log_finished(run)
            self._run.finish(exit_code=0 if status == "finished" else 1)
        self._run = None

    def sweep_finished(self, sweep: Sweep) -> None:
        if sweep.comparison is None:
            return
        memory = f"wandb {self.entity or ''}/{self.project}"
        found = hashlib.sha256((sweep.path / "comparison.csv").read_bytes()).hexdigest()
        known = sweep.recall(memory, {})
        if known.get("logged") == found:
            return
        run_id = known.get("id") or secrets.token_hex(4)
        sweep.remember(memory, {"id": run_id})
        about = {"title": sweep.title, "goal": sweep.table.get("goal")}
        run = self._start(
            sweep.path, run_id, name=sweep.name, group=sweep.name, job_type="summary", config=about
        )
        if run is None:
            return
        with wandb_session.ending(sweep.path):
            self._log_sweep(run, sweep, sweep.comparison)
            run.finish()
            sweep.remember(memory, {"id": run_id, "logged": found})

    def _start(self, folder: Path, run_id: str, **about: Any) -> Any:
        return wandb_session.start(
            self.mode,
            folder,
            id=run_id,
            project=self.project,
            entity=self.entity,
            tags=list(self.tags),
            **about,
        )

    def _define(self, metrics: dict[str, float]) -> None:
        """Draw what is new among the metrics over epochs, and keep the best value of it."""
        for key in metrics:
            if key not in self._defined and key.startswith(("train/", "val/", "test/")):
                self._run.define_metric(key, step_metric="epoch", summary=_summary(key, metrics))
        self._defined.update(metrics)

    def _log_finished(self, run: Run) -> None:
        """What takes a model; none of it may cost the rows of the epochs."""
        import wandb

        from dvae_core import explore_page, load_run

        loaded = cache(lambda: load_run(run))
        step = run.metrics()[-1]["step"]
        with wandb_session.left_out("the page"):
            page = wandb.Html(explore_page(loaded()), inject=False)
            self._run.log({"explore": page}, step=step)
        if self.table:
            with wandb_session.left_out("the table of test images"):
                table = tables.test_images(loaded().snapshot(), self.table)
                wandb_session.knock_for_artifacts(self._run)
                self._run.log({"test_images": table}, step=step)
        if self.artifacts:
            with wandb_session.left_out("the artifact of the checkpoints"):
                wandb_session.knock_for_artifacts(self._run)
                logged = self._run.log_artifact(_checkpoints(run))
                if not self._run.offline:
                    logged.wait(ARTIFACT_TIMEOUT)

    def _log_sweep(self, run: Any, sweep: Sweep, comparison: Comparison) -> None:
        """The table, the figures and the report; one that fails costs none of the others."""
        import wandb

        with wandb_session.left_out("the figures"):
            files = sorted((sweep.path / "figures").glob("*.png"))
            run.log({f"figures/{file.stem}": wandb.Image(str(file)) for file in files})
        report = sweep.path / "report.html"
        if report.exists():
            with wandb_session.left_out("the report"):
                run.log({"report": wandb.Html(report.read_text("utf-8"), inject=False)})
        with wandb_session.left_out("the table"):
            table = tables.comparison(comparison)
            wandb_session.knock_for_artifacts(run)
            run.log({"comparison": table})


def _summary(key: str, metrics: dict[str, float]) -> str | None:
    """What the summary says of a metric, if not just its last value.

    A term of the loss is known by its weight.
    """
    name = key.partition("/")[2]
    if "accuracy" in name:
        return "last,max"
    return "last,min" if name == "loss" or f"train/{name}_weight" in metrics else None


def _checkpoints(run: Run) -> Any:
    """An artifact that is a run folder without its figures, so that `load_run` takes it."""
    import wandb

    artifact = wandb.Artifact(f"run-{run.recall('wandb_id')}-checkpoints", type="model")
    artifact.add_dir(str(run.path / "checkpoints"), name="checkpoints")
    for name in ("recipe.toml", "run.json", "metrics.jsonl"):
        artifact.add_file(str(run.path / name), name=name)
    return artifact
