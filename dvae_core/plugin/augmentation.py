"""What any data set may do to its training images, batch by batch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Augmentation(BaseModel):
    """Moves, turns and disturbs each image on its own. What comes in from outside is black."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    shift: int = Field(default=0, ge=0)
    """Pixels, at most, to each side."""
    rotate: float = Field(default=0.0, ge=0.0, le=180.0)
    """Degrees, at most, to each side."""
    noise: float = Field(default=0.0, ge=0.0)
    """Standard deviation of normal noise on pixels in [0, 1], which stay there."""
    clean_target: bool = False
    """Decode the image as it was: the encoder alone sees what is made of it."""

    def __call__(
        self, images: Tensor, generator: torch.Generator
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Images [B, C, H, W], or what goes in and what is to be decoded."""
        import torch

        changed = self._moved(images, generator) if self.shift or self.rotate else images
        if self.noise:
            normal = torch.randn(images.shape, generator=generator, device=images.device)
            changed = (changed + self.noise * normal).clamp(0, 1)
        return (changed, images) if self.clean_target else changed

    def _moved(self, images: Tensor, generator: torch.Generator) -> Tensor:
        import torch
        from torch.nn.functional import affine_grid, grid_sample

        count, _, height, width = images.shape
        drawn = torch.rand(3, count, generator=generator, device=images.device)
        x, y = (drawn[:2] * (2 * self.shift + 1)).floor().clamp(max=2 * self.shift) - self.shift
        angle = (2 * drawn[2] - 1) * math.radians(self.rotate)
        cos, sin = angle.cos(), angle.sin()
        # Where in the image each pixel comes from, in units of half its width and height.
        rows = [
            torch.stack([cos, -sin * height / width, -2 * x / width], 1),
            torch.stack([sin * width / height, cos, -2 * y / height], 1),
        ]
        grid = affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
        return grid_sample(images, grid, align_corners=False)
