"""Logs a run to Weights & Biases, online or offline."""

from __future__ import annotations

import contextlib
import netrc
import os
import secrets
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from dvae_core import Callback

if TYPE_CHECKING:
    from dvae_core import RunFolder

KNOCK_TIMEOUT = 5
"""Seconds in which a server must answer at all."""
INIT_TIMEOUT = 15
"""Seconds to wait for a server to take a run; after that the run is logged offline."""
FINISH_TIMEOUT = 5
"""Seconds to wait for the last uploads; what is not uploaded by then, `wandb sync` uploads."""


class WandB(Callback):
    """Weights & Biases: scalars and figures of each epoch, with the recipe as the config.

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

    _run: Any = None

    def run_started(self, run: RunFolder) -> None:
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
                reason = str(error).strip().split("\n")[0]
                warnings.warn(
                    f"logging offline, because the server did not take the run: {reason}; "
                    f"upload it later: wandb sync {run.path}/wandb/offline-run-*",
                    stacklevel=2,
                )
                wandb.teardown()
        self._run = self._init(run, run_id, "offline" if mode == "online" else mode)

    def epoch_finished(
        self, run: RunFolder, metrics: dict[str, float], figures: dict[str, Path]
    ) -> None:
        import wandb

        step = int(metrics["step"])
        try:
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
