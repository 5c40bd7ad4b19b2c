"""Logs a run to TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvae_core import Callback, as_pictures
from dvae_plugins.callbacks.samples import class_names
from dvae_plugins.extras import package

if TYPE_CHECKING:
    from dvae_core import Run, Snapshot

MOST_POINTS = 1000
"""Test images in the projector."""
SPRITE_SIDE = 8192
"""Pixels along a side of the picture that holds the projector's images: browsers take no more."""


class TensorBoard(Callback):
    """TensorBoard: scalars and figures of each epoch, and the test means in its projector.

    metrics.jsonl stays the source of truth; this is a copy, in the run folder's tensorboard/. Look
    at all runs with `tensorboard --logdir runs`. The projector has the means of up to 1,000 test
    images, as many of each class alike, once the run is finished.
    """

    name = "tensorboard"

    _writer: Any = None

    def check(self) -> None:
        _summary_writer()

    def run_started(self, run: Run) -> None:
        rows = run.metrics()
        # What an earlier process logged of the steps that are now trained again does not count.
        purge_step = rows[-1]["step"] + 1 if rows else 0
        self._writer = _summary_writer()(str(run.path / "tensorboard"), purge_step=purge_step)

    def epoch_finished(self, run: Run, metrics: dict[str, float], figures: dict[str, Path]) -> None:
        step = int(metrics["step"])
        for key, value in metrics.items():
            if key != "step":
                self._writer.add_scalar(key, value, step)
        for name, path in figures.items():
            self._writer.add_image(f"figures/{name}", _picture(path), step, dataformats="HWC")
        self._writer.flush()

    def run_finished(self, run: Run, status: str) -> None:
        from dvae_core import load_run

        try:
            if status == "finished":
                self._add_means(load_run(run).snapshot())
        finally:
            self._writer.close()

    def _add_means(self, snapshot: Snapshot) -> None:
        import numpy as np
        import torch

        height, width = as_pictures(snapshot.test_images[:1]).shape[2:]
        side = max(height, width)
        chosen = snapshot.test_sample(min(MOST_POINTS, (SPRITE_SIDE // side) ** 2))
        # The projector cuts squares out of one picture.
        padding = ((0, 0), (0, 0), (0, side - height), (0, side - width))
        images = np.pad(as_pictures(snapshot.test_images[chosen]), padding)
        # It shows nothing at all of points with fewer than three coordinates.
        flat = ((0, 0), (0, max(0, 3 - snapshot.latent_dim)))
        means = np.pad(snapshot.test_means[chosen], flat)
        names = class_names(snapshot, snapshot.test_labels[chosen], "unlabelled")
        self._writer.add_embedding(
            means,
            metadata=[" ".join(name.split()) for name in names],  # a line each
            label_img=torch.from_numpy(images),
            global_step=snapshot.step,
            tag="test_means",
        )


def _summary_writer() -> Any:
    user = "the tensorboard callback"
    return package("torch.utils.tensorboard", "tensorboard", user).SummaryWriter


def _picture(path: Path) -> Any:
    """uint8 [H, W, 3]."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return np.array(image.convert("RGB"))
