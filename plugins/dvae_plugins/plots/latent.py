"""Plots of the latent space, of what comes back from it, and of the weights over the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from dvae_core import Plot, as_pictures, class_number, short_name
from dvae_plugins.plots.canvas import blank, plane, rgba, show, tiled, titled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dvae_core import Snapshot


Class = Annotated[str | int, Field(union_mode="left_to_right")]


class Latent(Plot):
    """The test means, coloured by class; the first two dimensions where there are more.

    Where images have targets and no class, the first target colours them.
    """

    name = "latent"

    size: float = Field(default=5.0, gt=0)
    """Area of a point, in square points."""

    def draw(self, snapshot: Snapshot) -> Figure:
        figure, axes = titled(f"Latent means of the test images, epoch {snapshot.epoch}", 7.2, 6)
        x, y = plane(snapshot.test_means)
        # In a random order, so that no class hides the others.
        order = snapshot.random("drawing order").permutation(len(x))
        dots: dict[str, Any] = {"s": self.size, "linewidths": 0, "alpha": 0.7}
        if snapshot.test_targets is not None and snapshot.test_labels.max() < 0:
            values = snapshot.test_targets[order, 0]  # NaN, a hidden one, is not drawn
            drawn = axes.scatter(x[order], y[order], c=values, cmap="viridis", **dots)
            figure.colorbar(drawn, label=short_name(snapshot.classes[0], 40))
        else:
            order = order[snapshot.test_labels[order] >= 0]
            colours = rgba(snapshot.colours)[snapshot.test_labels[order]]
            axes.scatter(x[order], y[order], c=colours, **dots)
            for name, colour in zip(snapshot.classes, snapshot.colours, strict=True):
                axes.scatter([], [], s=40, color=colour, label=short_name(name, 24))
            axes.legend(
                loc="center left",
                bbox_to_anchor=(1.01, 0.5),
                frameon=False,
                ncols=1 + (len(snapshot.classes) - 1) // 20,
            )
        axes.set_xlabel("z₁")
        axes.set_ylabel("z₂" if snapshot.latent_dim > 1 else "")
        axes.set_aspect("equal", adjustable="datalim")
        return figure


class Manifold(Plot):
    """A grid of decoded points, from -q to q in the first two dimensions.

    q is the larger of the two 0.9-quantiles of |mean| over the test images. Further dimensions
    stay at 0. A conditional decoder is asked for the class that the title names.
    """

    name = "manifold"

    side: int = Field(default=25, ge=2, le=100)
    """Points along each side."""
    spacing: Literal["linear", "quadratic"] = "linear"
    """Quadratic puts more points near 0."""
    decoded_as: Class | None = None
    """For a conditional decoder, the class by name or number; no known one if left out."""

    def draw(self, snapshot: Snapshot) -> Figure:
        import numpy as np

        x, y = plane(snapshot.test_means)
        q = max(np.quantile(np.abs(x), 0.9), np.quantile(np.abs(y), 0.9))
        steps = np.linspace(-1, 1, self.side)
        if self.spacing == "quadratic":
            steps = np.sign(steps) * steps**2
        points = np.zeros((self.side, self.side, snapshot.latent_dim), dtype=np.float32)
        points[:, :, 0] = q * steps
        if snapshot.latent_dim > 1:
            points[:, :, 1] = q * steps[::-1, None]
        if self.decoded_as is not None:
            snapshot = snapshot.showing(class_number(self.decoded_as, snapshot.classes))
        images = snapshot.decode(points.reshape(-1, snapshot.latent_dim))

        told = ["Decoded latent grid", f"±{q:.2f}", f"{self.spacing} spacing", snapshot.decoded_as]
        title = ", ".join([*filter(None, told), f"epoch {snapshot.epoch}"])
        figure, axes = titled(title, 7.2, 7.2)
        pictures = as_pictures(images)
        show(axes, tiled(pictures, self.side))
        middle = (self.side - 1) / 2
        height, width = pictures.shape[2:]
        axes.set_xticks([width / 2, (middle + 0.5) * width, (self.side - 0.5) * width])
        axes.set_xticklabels([f"{-q:.2f}", "0", f"{q:.2f}"])
        axes.set_yticks([height / 2, (middle + 0.5) * height, (self.side - 0.5) * height])
        axes.set_yticklabels([f"{q:.2f}", "0", f"{-q:.2f}"])
        axes.set_xlabel("z₁")
        axes.set_ylabel("z₂" if snapshot.latent_dim > 1 else "")
        return figure


class Reconstructions(Plot):
    """Test images above what comes back from their means, a column or more for each class."""

    name = "reconstructions"

    columns: int = Field(default=10, ge=1, le=50)
    """How many images."""

    def draw(self, snapshot: Snapshot) -> Figure:
        import numpy as np

        labels = snapshot.test_labels
        # The first image of each class, then the second of each, and so on.
        rank = np.zeros(len(labels), dtype=int)
        for c in np.unique(labels):
            rank[labels == c] = np.arange((labels == c).sum())
        chosen = np.lexsort((labels, rank))[: self.columns]
        originals = snapshot.test_images[chosen]
        decoded = snapshot.decode(snapshot.test_means[chosen], labels[chosen])

        title = f"Test images and their reconstructions, epoch {snapshot.epoch}"
        figure, axes = titled(title, max(5.0, 0.9 * len(chosen)), 2.9)
        pictures = as_pictures(np.concatenate([originals, decoded]))
        show(axes, tiled(pictures, len(chosen)))
        height, width = pictures.shape[2:]
        names = [short_name(snapshot.classes[c], 12) if c >= 0 else "" for c in labels[chosen]]
        axes.set_xticks([(i + 0.5) * width for i in range(len(chosen))])
        long = max(len(name) for name in names) > 5
        axes.set_xticklabels(names, rotation=30 if long else 0, ha="right" if long else "center")
        axes.set_yticks([height / 2, 1.5 * height])
        axes.set_yticklabels(["image", "back"])
        return figure


class Weights(Plot):
    """The weight of each term over the run, with the point reached."""

    name = "weights"

    def draw(self, snapshot: Snapshot) -> Figure:
        curves = snapshot.weight_curves()
        figure = blank(7.2, 1.1 + 1.35 * len(curves))
        figure.suptitle(f"Weights over the run, epoch {snapshot.epoch}", fontsize=12)
        rows = figure.subplots(len(curves), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (name, (steps, weights)) in zip(rows, curves.items(), strict=True):
            reached = min(max(snapshot.step - 1, 0), snapshot.total_steps - 1)
            import numpy as np

            now = float(np.interp(reached, steps, weights))
            axes.plot(steps, weights, color="#3f90da", linewidth=2)
            axes.plot([reached], [now], "o", color="#bd1f01", markersize=7, zorder=3)
            axes.annotate(
                f"{now:.3g}",
                (reached, now),
                textcoords="offset points",
                xytext=(-8, 7) if reached > snapshot.total_steps / 2 else (8, 7),
                ha="right" if reached > snapshot.total_steps / 2 else "left",
                color="#bd1f01",
            )
            axes.set_ylabel(short_name(name, 16))
            axes.margins(y=0.35)
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        rows[-1].set_xlabel("step")
        return figure
