"""What plots have in common: empty figures, tiled images, names that fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def blank(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def titled(title: str, width: float, height: float) -> tuple[Figure, Axes]:
    figure = blank(width, height)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=12)
    return figure, axes


def plane(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two coordinates; the second is 0 where there is only one."""
    return means[:, 0], means[:, 1] if means.shape[1] > 1 else 0 * means[:, 0]


def rgba(colours: list[str]) -> np.ndarray:
    from matplotlib.colors import to_rgba_array

    return to_rgba_array(colours)


def tiled(images: np.ndarray, columns: int) -> np.ndarray:
    """One picture [rows * H, columns * W, C] of images [N, C, H, W], row by row."""
    n, c, h, w = images.shape
    grid = images.reshape(n // columns, columns, c, h, w)
    return grid.transpose(0, 3, 1, 4, 2).reshape(n // columns * h, columns * w, c)


def show(axes: Any, picture: np.ndarray) -> None:
    height, width, channels = picture.shape
    axes.imshow(
        picture[:, :, 0] if channels == 1 else picture,
        cmap="gray",
        vmin=0,
        vmax=1,
        extent=(0, width, height, 0),
        interpolation="nearest",
    )
    axes.tick_params(length=0)
