"""Images in the layouts and types that people have, as those that a data set gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvae_core import DataError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

GREY = (19595, 38470, 7471)
"""Of red, green and blue, in 65536ths: the luma of ITU-R BT.601, as Pillow rounds it."""


def channels_first(images: np.ndarray, where: str) -> np.ndarray:
    """[N, C, H, W] of [N, H, W], [N, H, W, C] or [N, C, H, W]."""
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[3] in (1, 3) and images.shape[1] not in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise DataError(
            f"{where} must be [N, H, W], [N, H, W, C] or [N, C, H, W] with 1 or 3 channels, "
            f"not {list(images.shape)}"
        )
    return images


def rounded(images: np.ndarray, where: str) -> np.ndarray:
    """As uint8; floats in [0, 1] are rounded to 255ths."""
    import numpy as np

    if images.dtype == np.uint8:
        return images
    if images.dtype.kind not in "iuf":
        raise DataError(f"{where} must be uint8, or floats in [0, 1], not {images.dtype}")
    low, high = images.min(initial=0), images.max(initial=0)
    if images.dtype.kind == "f" and low >= 0 and high <= 1:
        return (images * 255).round().astype(np.uint8)
    if images.dtype.kind in "iu" and low >= 0 and high <= 255:
        return images.astype(np.uint8)
    raise DataError(
        f"{where} must be uint8, or floats in [0, 1], not {images.dtype} in {low:g}..{high:g}"
    )


def exact(images: np.ndarray, where: str) -> np.ndarray:
    """As float32 in [0, 1]: floats as they are, uint8 over 255."""
    import numpy as np

    if images.dtype.kind != "f":
        return rounded(images, where) / np.float32(255)
    low, high = images.min(initial=0), images.max(initial=0)
    if not (low >= 0 and high <= 1):
        raise DataError(f"{where} must lie in [0, 1], not in {low:g}..{high:g}")
    return images.astype(np.float32, copy=False)


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


def one_channel(image: Image, *, exact: bool) -> Image:
    """An image of 16 or 32 bits a pixel, which Pillow would clip: scaled to 8, or to [0, 1].

    Raises:
        ValueError: floats that do not lie in [0, 1], or integers of more than 16 bits.
    """
    import numpy as np
    from PIL.Image import fromarray

    pixels = np.asarray(image)
    low, high = pixels.min(), pixels.max()
    if image.mode == "F":
        largest, wanted = 1.0, "floats in [0, 1]"
    else:
        largest, wanted = 65535.0, "integers of 16 bits"
    if not 0 <= low <= high <= largest:
        raise ValueError(f"its pixels are {low:g}..{high:g}, not {wanted}")
    scaled = pixels / largest
    if exact:
        return fromarray(scaled.astype(np.float32))
    return fromarray((scaled * 255).round().astype(np.uint8))
