"""Plots of the border suite: who owns what, and whom one meets between two classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvae_core import Plot, short_name
from dvae_plugins.plots.canvas import titled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dvae_core import Snapshot


class Regions(Plot):
    """The judge's map of latent space: areas, borders, void hatched.

    The borders that the recipe names are drawn thick. Crosses, joined for each pair, are the places
    that the prior has for classes. With more than two dimensions: the classes, joined where they
    are adjacent.
    """

    name = "regions"

    def draw(self, snapshot: Snapshot) -> Figure:
        from dvae_core import draw_regions

        title = f"Regions, epoch {snapshot.epoch}"
        guidance = snapshot.weights.get("guidance")
        if guidance is not None:
            title += f", guidance weight {guidance:.3g}"
        figure, axes = titled(title, 7.2, 6.4)
        regions, named = snapshot.regions, snapshot.named_pairs
        plan = snapshot.class_means
        draw_regions(axes, regions, snapshot.classes, snapshot.colours, named, plan)
        if regions.grid is None:
            axes.set_xlabel("neighbouring test images, by class")
        else:
            axes.set_xlabel("z₁")
            axes.set_ylabel("z₂" if snapshot.latent_dim > 1 else "")
        return figure


class DirectPaths(Plot):
    """For every two classes, the share of straight lines that cross only those two."""

    name = "direct_paths"

    def draw(self, snapshot: Snapshot) -> Figure:
        import numpy as np
        from matplotlib.patches import Rectangle

        shares, classes = snapshot.paths().direct_path, snapshot.classes
        side = min(14.0, 3.2 + 0.42 * len(classes))
        figure, axes = titled(f"Direct paths in percent, epoch {snapshot.epoch}", side + 0.8, side)
        picture = axes.imshow(100 * shares, cmap="cividis", vmin=0, vmax=100)
        names = [short_name(name, 12) for name in classes]
        slanted = max(map(len, names)) > 3
        axes.set_xticks(range(len(classes)), names, rotation=45 if slanted else 0)
        axes.set_yticks(range(len(classes)), names)
        axes.tick_params(length=0)
        if len(classes) <= 20:
            for a, b in np.argwhere(~np.isnan(shares)):
                share = 100 * shares[a, b]
                axes.text(
                    b,
                    a,
                    f"{share:.0f}",
                    ha="center",
                    va="center",
                    fontsize=9,
                    color="black" if share > 55 else "white",
                )
        for a, b in snapshot.named_pairs:
            for x, y in ((a, b), (b, a)):
                frame = Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor="#cc3311", lw=2.5)
                axes.add_patch(frame)
        figure.colorbar(picture, ax=axes, shrink=0.8, label="direct lines, %")
        return figure
