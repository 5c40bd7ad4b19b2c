"""Images [N, C, H, W] made alike: their channels and their size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

GREY = (19595, 38470, 7471)
"""Of red, green and blue, in 65536ths: the luma of ITU-R BT.601, as Pillow rounds it."""


def with_channels(images: np.ndarray, channels: int | None) -> np.ndarray:
    """Images [N, C, H, W] with so many channels: grey ones of colour, and the other way round."""
    import numpy as np

    if channels in (None, images.shape[1]):
        return images
    if channels == 3:
        return images.repeat(3, axis=1)
    whole = np.uint32 if images.dtype == np.uint8 else np.float32
    luma = np.einsum("nchw,c->nhw", images, np.array(GREY, whole), dtype=whole)[:, None]
    if images.dtype == np.uint8:
        return ((luma + 2**15) >> 16).astype(np.uint8)
    return (luma / np.float32(2**16)).clip(0, 1)


def resized(images: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """Images [N, C, H, W] of another height and width, as Pillow resizes them."""
    import numpy as np
    from PIL.Image import Resampling, fromarray

    if size is None or size == images.shape[2:]:
        return images
    made = np.empty((*images.shape[:2], *size), images.dtype)
    for image, small in zip(images, made, strict=True):
        for plane, there in zip(image, small, strict=True):
            one = fromarray(np.ascontiguousarray(plane))
            there[:] = one.resize(size[::-1], Resampling.BILINEAR)
    return made.clip(0, 1) if images.dtype == np.float32 else made
