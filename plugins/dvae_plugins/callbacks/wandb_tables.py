"""What Weights & Biases shows as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dvae_core import as_pictures
from dvae_plugins.callbacks.samples import class_names

if TYPE_CHECKING:
    import numpy as np

    from dvae_core import Comparison, Snapshot


def test_images(snapshot: Snapshot, rows: int) -> Any:
    """A wandb.Table: test images, what comes back, where they lie and what they are taken for."""
    import wandb

    chosen = snapshot.test_sample(rows)
    means = snapshot.test_means[chosen]
    columns: dict[str, Any] = {
        "image": _images(snapshot.test_images[chosen]),
        "reconstruction": _images(snapshot.decode(means, snapshot.test_labels[chosen])),
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

    shown = (as_pictures(images) * 255).round().astype("uint8").transpose(0, 2, 3, 1)
    return [wandb.Image(Image.fromarray(i[:, :, 0] if i.shape[2] == 1 else i)) for i in shown]


def comparison(found: Comparison) -> Any:
    """A wandb.Table: a row a variant, its settings, and the mean and margin of each metric."""
    import wandb

    rows = [row for row in found.rows if row.finished]
    columns: dict[str, list[Any]] = {
        "variant": [row.recipe_name for row in rows],
        "seeds": [len(row.runs) for row in rows],
    }
    for key in found.settings:
        values = [row.settings.get(key) for row in rows]
        numbers = all(type(value) in (int, float, type(None)) for value in values)
        # A column of W&B has one type.
        columns[key] = [v if numbers or v is None else str(v) for v in values]
    for name in found.metrics:
        estimates = [row.metrics.get(name) for row in rows]
        columns[name] = [None if one is None else one.mean for one in estimates]
        margins = [None if one is None else one.margin for one in estimates]
        if any(margin is not None for margin in margins):
            columns[f"{name} margin"] = margins
    return wandb.Table(
        columns=list(columns), data=[list(row) for row in zip(*columns.values(), strict=True)]
    )
