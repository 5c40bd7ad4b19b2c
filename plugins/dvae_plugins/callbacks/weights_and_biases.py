"""Logs a run to Weights & Biases, online or offline."""

from __future__ import annotations

import contextlib
import netrc
import os
import secrets
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr

from dvae_core import Callback
from dvae_plugins.callbacks.samples import class_names, pictures

if TYPE_CHECKING:
    import numpy as np

    from dvae_core import RunFolder, Snapshot

KNOCK_TIMEOUT = 5
"""Seconds in which a server must answer at all."""
INIT_TIMEOUT = 15
"""Seconds to wait for a server to take a run; after that the run is logged offline."""
FINISH_TIMEOUT = 5
"""Seconds to wait for the last uploads; what is not uploaded by then, `wandb sync` uploads."""
ARTIFACT_TIMEOUT = 120
"""Seconds to wait for a server that was asked to take the checkpoints."""


class WandB(Callback):
    """Weights & Biases: scalars and figures of each epoch, with the recipe as the config.

    A finished run also leaves its page of `dvae explore` and a table of test images: what comes
    back, where they lie, what the judge and the head say. The summary has the lowest value of each
    loss and the highest of each accuracy beside the last one.

    metrics.jsonl stays the source of truth; this is a copy. Offline runs lie in the run folder's
    wandb/ and are uploaded by `wandb sync`. The runs of a sweep are a group of its name.
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

    def run_started(self, run: RunFolder) -> None:
        if self.mode == "auto" and os.environ.get("WANDB_MODE") == "disabled":
            return
        import wandb

        wandb.setup(wandb.Settings(silent=True))  # what matters, this callback says
        # Its own figures about itself would delay the exit where the server does not answer.
        with contextlib.suppress(ImportError):
            from wandb.analytics.opentelemetry import opentelemetry_proxy

            opentelemetry_proxy.disable()
        run_id = run.recall("wandb_id") or secrets.token_hex(4)
        run.remember("wandb_id", run_id)
        mode = self._mode()
        if mode == "online":
            try:
                _knock(_base_url())
                self._run = self._init(run, run_id, mode)
                return
            except Exception as error:
                warnings.warn(
                    "logging offline, because the server did not take the run: "
                    f"{_first_line(error)}; "
                    f"upload it later: wandb sync {run.path}/wandb/offline-run-*",
                    stacklevel=2,
                )
                wandb.teardown()
        self._run = self._init(run, run_id, "offline" if mode == "online" else mode)

    def epoch_finished(
        self, run: RunFolder, metrics: dict[str, float], figures: dict[str, Path]
    ) -> None:
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
            self._let_go()
            raise

    def run_finished(self, run: RunFolder, status: str) -> None:
        if self._run is None:
            return
        try:
            if status == "finished":
                self._log_finished(run)
            self._run.finish(exit_code=0 if status == "finished" else 1)
        except Exception as error:
            reason = "it stopped answering" if isinstance(error, TimeoutError) else error
            warnings.warn(
                f"the server did not take everything: {reason}; "
                f"upload it later: wandb sync --include-online {run.path}/wandb/run-*",
                stacklevel=2,
            )
            self._let_go()
        self._run = None

    def _define(self, metrics: dict[str, float]) -> None:
        """Draw what is new among the metrics over epochs, and keep the best value of it."""
        for key in metrics:
            if key not in self._defined and key.startswith(("train/", "test/")):
                self._run.define_metric(key, step_metric="epoch", summary=_summary(key, metrics))
        self._defined.update(metrics)

    def _log_finished(self, run: RunFolder) -> None:
        """What takes a model; none of it may cost the rows of the epochs."""
        import wandb

        from dvae_core import explore_page, load_run

        loaded = cache(lambda: load_run(run))
        step = run.metrics()[-1]["step"]
        with _left_out("the page"):
            page = wandb.Html(explore_page(loaded()), inject=False)
            self._run.log({"explore": page}, step=step)
        if self.table:
            with _left_out("the table of test images"):
                table = _table(loaded().snapshot(), self.table)
                self._knock_for_artifacts()
                self._run.log({"test_images": table}, step=step)
        if self.artifacts:
            with _left_out("the artifact of the checkpoints"):
                self._knock_for_artifacts()
                logged = self._run.log_artifact(_checkpoints(run))
                if not self._run.offline:
                    logged.wait(ARTIFACT_TIMEOUT)

    def _knock_for_artifacts(self) -> None:
        """A table is an artifact too, and W&B asks the server about each before it goes on."""
        if not self._run.offline:
            _knock(_base_url())

    def _let_go(self) -> None:
        """Keep W&B's exit handler from waiting for what is broken, or stumbling over it."""
        import wandb

        self._run = None
        with contextlib.suppress(Exception):
            wandb.teardown()

    def _mode(self) -> Any:
        if self.mode != "auto":
            return self.mode
        if "WANDB_MODE" in os.environ:
            return os.environ["WANDB_MODE"]
        return "online" if _has_key(_base_url()) else "offline"

    def _init(self, run: RunFolder, run_id: str, mode: Any) -> Any:
        import wandb

        return wandb.init(
            project=self.project,
            entity=self.entity,
            name=run.name,
            group=run.sweep,
            id=run_id,
            resume="allow" if mode == "online" else None,
            config=run.recipe_table,
            tags=list(self.tags),
            dir=str(run.path),
            mode=mode,
            settings=wandb.Settings(
                init_timeout=INIT_TIMEOUT,
                finish_timeout=FINISH_TIMEOUT,
                finish_timeout_raises=True,
                silent=True,
                console="off",
                save_code=False,
            ),
        )


@contextlib.contextmanager
def _left_out(what: str) -> Iterator[None]:
    """Go on without what cannot be made or sent."""
    try:
        yield
    except Exception as error:
        warnings.warn(f"{what} is left out: {_first_line(error)}", stacklevel=3)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]


def _summary(key: str, metrics: dict[str, float]) -> str | None:
    """What the summary says of a metric, if not just its last value.

    A term of the loss is known by its weight.
    """
    name = key.partition("/")[2]
    if "accuracy" in name:
        return "last,max"
    return "last,min" if name == "loss" or f"train/{name}_weight" in metrics else None


def _table(snapshot: Snapshot, rows: int) -> Any:
    """A wandb.Table: test images, what comes back, where they lie and what they are taken for."""
    import wandb

    chosen = snapshot.test_sample(rows)
    means = snapshot.test_means[chosen]
    columns: dict[str, Any] = {
        "image": _images(snapshot.test_images[chosen]),
        "reconstruction": _images(snapshot.decode(means)),
        "class": class_names(snapshot, snapshot.test_labels[chosen], ""),
    }
    if (snapshot.train_labels >= 0).any():
        columns["judge"] = class_names(snapshot, snapshot.judge.test_verdicts[chosen], "void")
    probabilities = snapshot.classify(means)
    if probabilities is not None:
        columns["head"] = class_names(snapshot, probabilities.argmax(axis=1), "")
    columns |= {f"z{d + 1}": means[:, d].tolist() for d in range(snapshot.latent_dim)}
    rows_of_cells = [list(row) for row in zip(*columns.values(), strict=True)]
    return wandb.Table(columns=list(columns), data=rows_of_cells)


def _images(images: np.ndarray) -> list[Any]:
    import wandb
    from PIL import Image

    shown = (pictures(images) * 255).round().astype("uint8").transpose(0, 2, 3, 1)
    return [wandb.Image(Image.fromarray(i[:, :, 0] if i.shape[2] == 1 else i)) for i in shown]


def _checkpoints(run: RunFolder) -> Any:
    """An artifact that is a run folder without its figures, so that `load_run` takes it."""
    import wandb

    artifact = wandb.Artifact(f"run-{run.recall('wandb_id')}-checkpoints", type="model")
    artifact.add_dir(str(run.path / "checkpoints"), name="checkpoints")
    for name in ("recipe.toml", "run.json", "metrics.jsonl"):
        artifact.add_file(str(run.path / name), name=name)
    return artifact


def _base_url() -> str:
    import wandb

    return str(wandb.setup().settings.base_url)


def _has_key(base_url: str) -> bool:
    """Whether a key is in the environment or in the netrc file, where `wandb login` puts it."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    file = os.environ.get("NETRC") or Path.home() / ".netrc"
    try:
        return netrc.netrc(file).authenticators(urlsplit(base_url).hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _knock(base_url: str) -> None:
    """Raise unless a server answers soon; wandb.init would wait and try again for much longer."""
    # It brings half of the standard library along, which no light verb should wait for.
    from urllib.error import HTTPError
    from urllib.request import urlopen

    try:
        urlopen(base_url, timeout=KNOCK_TIMEOUT).close()
    except HTTPError as error:
        error.close()
        if error.code >= 500:
            raise
