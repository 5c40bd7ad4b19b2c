"""Silhouettes of ten letters, 28 x 28, from the fonts that come with matplotlib.

Data that no recipe was tuned on, and that anyone can make.

    python -m benchmarks.letters FILE.npz
"""

from __future__ import annotations

import io
import sys
from functools import cache
from pathlib import Path

import numpy as np

from dvae_core.files import write_atomically

LETTERS = "BCDFJLNPQZ"
TRAINING, TEST = 8000, 2000
SIZE, DRAWN = 28, 64


def write(file: Path) -> None:
    """What the data set `npz` reads: images uint8 [N, 28, 28] and their letters [N]."""
    random = np.random.default_rng(0)
    paths = fonts()
    images, labels = [], []
    for number in range(TRAINING + TEST):
        letter = LETTERS[number % len(LETTERS)]
        images.append(bent(drawn(letter, paths[random.integers(len(paths))]), random))
        labels.append(letter)
    images, labels = np.stack(images), np.array(labels)
    data = io.BytesIO()
    np.savez_compressed(
        data,
        images=images[:TRAINING],
        labels=labels[:TRAINING],
        test_images=images[TRAINING:],
        test_labels=labels[TRAINING:],
    )
    write_atomically(file, data.getvalue())


def fonts() -> list[Path]:
    """Those of matplotlib that draw all of them."""
    import matplotlib

    files = sorted(Path(matplotlib.get_data_path(), "fonts", "ttf").glob("*.ttf"))
    with_letters = "DejaVuSans", "DejaVuSerif", "STIXGeneral", "cmb", "cmmi", "cmr", "cmss", "cmt"
    chosen = [file for file in files if file.name.startswith(with_letters)]
    return [file for file in chosen if "Display" not in file.name]


@cache
def drawn(letter: str, font: Path) -> np.ndarray:
    """float [64, 64], from 0 to 1, with soft edges."""
    from PIL import Image, ImageDraw, ImageFont
    from scipy.ndimage import gaussian_filter

    image = Image.new("L", (DRAWN, DRAWN))
    middle = (DRAWN // 2, DRAWN // 2)
    ImageDraw.Draw(image).text(
        middle, letter, font=ImageFont.truetype(str(font), 44), fill=255, anchor="mm"
    )
    soft: np.ndarray = gaussian_filter(np.asarray(image) / 255.0, 0.8)
    return soft


def bent(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A little turned, slanted, stretched and moved: uint8 [28, 28], 0 or 255."""
    from scipy.ndimage import affine_transform

    turn, slant = random.normal(0, 0.15, size=2)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    stretched = np.array([[random.uniform(0.85, 1.2), slant], [0, random.uniform(0.85, 1.2)]])
    matrix = turned @ stretched * (0.8 * DRAWN / SIZE)
    middle = matrix @ np.full(2, (SIZE - 1) / 2)
    seen = affine_transform(
        image,
        matrix,
        offset=DRAWN / 2 - middle + random.normal(0, 1.5, size=2),
        output_shape=(SIZE, SIZE),
        order=1,
    )
    return (seen > 0.5).astype(np.uint8) * 255


if __name__ == "__main__":
    write(Path(sys.argv[1]))
