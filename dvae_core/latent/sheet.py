"""Images beside each other, as one picture."""

from __future__ import annotations

import io
import math

import numpy as np

from dvae_core.plugin.pictures import as_pictures

GAP = 2
"""Pixels between images."""
SIDE = 56
"""Pixels that an image is at least high, so that small ones can be seen."""


def sheet(images: np.ndarray) -> bytes:
    """A PNG of images [P, C, H, W] in [0, 1], row by row in a square, each pixel as it is."""
    from PIL import Image

    shown = as_pictures(np.clip(images, 0, 1))
    pixels = (shown * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
    times = math.ceil(SIDE / pixels.shape[1])
    pixels = pixels.repeat(times, axis=1).repeat(times, axis=2)
    count, height, width, channels = pixels.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    whole = np.full(
        (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), 255, np.uint8
    )
    for index, image in enumerate(pixels):
        row, column = divmod(index, columns)
        y, x = row * (height + GAP), column * (width + GAP)
        whole[y : y + height, x : x + width] = image
    buffer = io.BytesIO()
    Image.fromarray(whole[:, :, 0] if channels == 1 else whole).save(buffer, format="PNG")
    return buffer.getvalue()
