"""A run's figures as moving pictures."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pydantic import Field

from dvae_core import Callback

if TYPE_CHECKING:
    from dvae_core import Run


class Animation(Callback):
    """Joins a plot's figures of all epochs into a GIF when the run ends.

    With the plot `regions` it shows what the falling guidance weight does to the regions.
    """

    name = "animation"

    plots: tuple[str, ...] = ("regions",)
    """Plots of the recipe, by name."""
    seconds: float = Field(default=0.7, gt=0)
    """How long an epoch is shown; the last one is shown three times as long."""

    def run_finished(self, run: Run, status: str) -> None:
        from PIL import Image

        for plot in self.plots:
            files = sorted((run.path / "figures").glob(f"epoch-*-{plot}.png"))
            files = [file for file in files if file.is_file() and not file.is_symlink()]
            if len(files) < 2:
                continue
            frames = [Image.open(file).convert("RGB").quantize(64) for file in files]
            shown = [int(1000 * self.seconds)] * (len(frames) - 1) + [int(3000 * self.seconds)]
            image = io.BytesIO()
            frames[0].save(
                image,
                format="GIF",
                save_all=True,
                append_images=frames[1:],
                duration=shown,
                loop=0,
                optimize=True,
            )
            # Whole or not at all, and never through a link.
            whole, there = (run.path / "figures" / f"{plot}.gif{part}" for part in (".part", ""))
            whole.unlink(missing_ok=True)
            whole.write_bytes(image.getvalue())
            whole.replace(there)
