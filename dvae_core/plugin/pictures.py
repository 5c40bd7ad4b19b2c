"""Images as people have them: files of pictures, and arrays of many layouts."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from dvae_core.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}
PROFILE = 32
"""Pixels that the picture of a vector is high, and at least about as wide."""
GREY = ("1", "L", "LA", "La", "F")
"""Pillow's modes without colour, beside those of integers, which start with I."""


def pictures_in(folder: Path) -> list[Path]:
    """The files of pictures that lie in a folder, by their endings; in no order."""
    return [f for f in folder.iterdir() if f.suffix.lower() in ENDINGS and f.is_file()]


def read_picture(
    file: Path,
    channels: int | None = None,
    resize: tuple[int, int] | None = None,
    *,
    exact: bool = False,
) -> np.ndarray:
    """A picture as uint8 [C, H, W], or as float32 in [0, 1].

    Pixels of 16 bits are scaled; those of floats must lie in [0, 1]. Of a file with several images
    the first one counts, with a warning.

    Args:
        channels: 1 for grey, 3 for colour; what the picture has if left out.
        resize: [height, width] to resize to.
        exact: as float32, with nothing rounded to 8 bits.

    Raises:
        DataError: it cannot be read.
    """
    from PIL import Image

    try:
        with Image.open(file) as opened:
            if getattr(opened, "n_frames", 1) > 1:
                warnings.warn("of files with several images the first one counts", stacklevel=2)
            return picture_of(opened, channels, resize, exact=exact)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{file}: no readable image: {error}") from error


def picture_of(
    image: Image,
    channels: int | None = None,
    resize: tuple[int, int] | None = None,
    *,
    exact: bool = False,
) -> np.ndarray:
    """What `read_picture` gives, of an image that Pillow has opened.

    Raises:
        OSError, ValueError, ...: it cannot be read.
    """
    import numpy as np
    from PIL.Image import Resampling

    grey = image.mode in GREY or image.mode.startswith("I")
    channels = channels or (1 if grey else 3)
    if image.mode == "F" or image.mode.startswith("I"):
        image = _scaled(image, exact)
    if image.mode != "F":
        image = image.convert("L" if channels == 1 else "RGB")
    if resize is not None:
        image = image.resize(resize[::-1], Resampling.BILINEAR)
    pixels = np.asarray(image)
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    if exact:
        pixels = pixels / np.float32(255) if pixels.dtype == np.uint8 else pixels.clip(0, 1)
    return pixels if len(pixels) == channels else pixels.repeat(channels, axis=0)


def as_pictures(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1] as what a picture of them shows.

    Those of one row, which are vectors, become profiles: each value is a column that is bright as
    far up as the value, with a line above and beside them all. Channels are shown as one, their
    mean, unless they are three.

    Args:
        images: [P, C, H, W].

    Returns:
        [P, 1 or 3, H, W], with other heights and widths for vectors.

    >>> import numpy as np
    >>> half = as_pictures(np.full((1, 1, 1, 32), 0.5))
    >>> half.shape, half[0, 0, 1:, 0].tolist() == [0.0] * 16 + [1.0] * 16
    ((1, 1, 33, 33), True)
    """
    import numpy as np

    if images.shape[1] not in (1, 3):
        images = images.mean(axis=1, keepdims=True)
    if images.shape[2] > 1 or images.shape[3] == 1:
        return images
    columns = images.repeat(-(-PROFILE // images.shape[3]), axis=3)
    from_below = np.arange(PROFILE)[::-1, None]
    profiles = np.clip(columns * PROFILE - from_below, 0, 1).astype(images.dtype, copy=False)
    return np.pad(profiles, ((0, 0), (0, 0), (1, 0), (0, 1)), constant_values=0.3)


def as_uint8(images: np.ndarray, where: str) -> np.ndarray:
    """uint8 [N, C, H, W] from the layouts and types that people have.

    Args:
        images: [N, H, W], [N, H, W, C] or [N, C, H, W] with 1 or 3 channels, or vectors [N, F],
            which are images of one row; uint8 or floats in [0, 1], which are rounded to 255ths.
        where: what messages call them.

    Raises:
        DataError: they are something else.
    """
    import numpy as np

    images = _channels_first(images, where)
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


def as_float32(images: np.ndarray, where: str) -> np.ndarray:
    """float32 [N, C, H, W] in [0, 1]: floats as they are, uint8 over 255. Else as `as_uint8`."""
    import numpy as np

    if images.dtype.kind != "f":
        return as_uint8(images, where) / np.float32(255)
    images = _channels_first(images, where)
    low, high = images.min(initial=0), images.max(initial=0)
    if not (low >= 0 and high <= 1):
        raise DataError(f"{where} must lie in [0, 1], not in {low:g}..{high:g}")
    return images.astype(np.float32, copy=False)


def _channels_first(images: np.ndarray, where: str) -> np.ndarray:
    """[N, C, H, W] of [N, H, W], [N, H, W, C], [N, C, H, W] or [N, F]."""
    if images.ndim == 2:
        images = images[:, None, None]
    elif images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[3] in (1, 3) and images.shape[1] not in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise DataError(
            f"{where} must be [N, H, W], [N, H, W, C] or [N, C, H, W] with 1 or 3 channels, or "
            f"vectors [N, F], not {list(images.shape)}"
        )
    return images


def _scaled(image: Image, exact: bool) -> Image:
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
    if exact:
        return fromarray((pixels / largest).astype(np.float32))
    return fromarray((pixels / largest * 255).round().astype(np.uint8))
