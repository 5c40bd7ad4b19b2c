"""The data set `staircases`."""

from pathlib import Path

from dvae_core import Dataset, LabelledImages
from pydantic import Field


class Staircases(Dataset):
    """Drawn stairs of two to five steps, 28x28 grey; the number of steps is the class."""

    name = "staircases"

    count: int = Field(default=4000, ge=40)
    """How many images; a fifth of them are for testing."""

    def load(self, cache: Path) -> LabelledImages:
        import numpy as np

        rng = np.random.default_rng(0)
        labels = np.arange(self.count) % 4
        images = np.stack([self._draw(2 + label, rng) for label in labels])[:, None]
        n = self.size()
        classes = ("two", "three", "four", "five")
        return LabelledImages(images[:n], labels[:n], images[n:], labels[n:], classes)

    def size(self) -> int:
        return self.count - self.count // 5

    def _draw(self, steps, rng):
        import numpy as np

        y, x = np.mgrid[:28, :28]
        left, width = rng.uniform(0, 5), rng.uniform(20, 26)
        height = rng.uniform(14, 24)
        step = np.clip((x - left) / width * steps, -1, steps).astype(int)
        inside = (x >= left) & (x < left + width) & (28 - y <= (step + 1) * height / steps)
        grey = inside * rng.uniform(120, 255)
        return grey.astype(np.uint8)
