"""Transposed convolutions of an upsampled image, computed at the size that it had before.

Import it inside `build` only: it needs torch.

After nearest-neighbour upsampling every pixel stands in a block of 2x2 equal ones, and a filter
that runs over them multiplies the same number several times. Here the image stays as it was, and
each channel holds four: the pixels of the blocks at (0, 0), (0, 1), (1, 0) and (1, 1), its
*phases*, in the order of `nn.PixelShuffle`. In phases a 5x5 filter after the upsampling becomes
four of 3x3, whose weights are sums of its own: a third of the multiplications, the same function
of the same parameters. (The polyphase decomposition: Vaidyanathan, Multirate Systems and Filter
Banks, 1993; in networks, Shi et al., arXiv:1609.05158.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class ConvTranspose2d(nn.ConvTranspose2d):
    """`nn.ConvTranspose2d` with a square kernel, stride 1 and no padding.

    The bias is added afterwards: with it, oneDNN takes up to twice as long for the gradient of
    the weights.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__(in_channels, out_channels, kernel)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """[B, I, H, W] to [B, O, H + K - 1, W + K - 1]."""
        out = F.conv_transpose2d(x, self._filters())
        return out.add_(self._biases().to(out.dtype)[:, None, None])

    def _filters(self) -> Tensor:
        return self.weight

    def _biases(self) -> Tensor:
        assert self.bias is not None
        return self.bias


class PolyphaseConvTranspose2d(ConvTranspose2d):
    """The same of an image in phases; with `upsample`, of a small one, which it doubles.

    Args:
        in_channels: I, of the whole image.
        out_channels: O, of the whole image.
        kernel: K, side of the kernel on the whole image.
        upsample: whether the input is what nearest-neighbour upsampling would double, [B, I, H, W],
            in place of an image in phases, [B, 4I, H, W].
    """

    _taps: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, upsample: bool = False
    ) -> None:
        super().__init__(in_channels, out_channels, kernel)
        self.upsample = upsample
        self.register_buffer("_taps", _taps(kernel, upsample), persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """To [B, 4O, H + K // 2, W + K // 2].

        With an even kernel the image has odd sides; its phases have a last row and a last column
        more, of zeros.
        """
        out = super().forward(x)
        if self.kernel_size[0] % 2 == 0:
            whole = out.unflatten(1, (-1, 2, 2))
            whole[:, :, 1, :, -1, :] = 0
            whole[:, :, :, 1, :, -1] = 0
        return out

    def _filters(self) -> Tensor:
        """Those of the phases: a matrix of ones and zeros adds up the weights."""
        i, o, kernel, _ = self.weight.shape
        side = kernel // 2 + 1
        filters = self.weight.reshape(i * o, -1) @ self._taps
        phases = 1 if self.upsample else 4
        by_phase = filters.view(i, o, phases, -1).transpose(1, 2)
        return by_phase.reshape(phases * i, 4 * o, side, side)

    def _biases(self) -> Tensor:
        return super()._biases().repeat_interleave(4)


class FromPhases(nn.Conv2d):
    """[B, 4C, H, W] to the image [B, C, height, width], cut to its size, through a 1x1 convolution.

    Of one channel that is a product, and computed as one: oneDNN would fill it up to sixteen.
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__(channels, channels, 1)
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        image = F.pixel_shuffle(x, 2)[..., : self.height, : self.width]
        if self.in_channels > 1:
            return super().forward(image)
        assert self.bias is not None
        return torch.addcmul(self.bias.to(x.dtype), image, self.weight.to(x.dtype))


def _taps(kernel: int, upsample: bool) -> Tensor:
    """Which weight [K * K] stands where in the filters of the phases, as ones and zeros.

    On a line, pixel 2a + p of the output takes weight k from pixel 2a + p - k of the input, that
    is, from phase r of the place a - j where k = 2j + p - r. Rows and columns do so alike.

    Returns:
        [K * K, 4 * side * side] with `upsample`, where all phases of the input are equal and
        their weights add up, [K * K, 4 * 4 * side * side] without.
    """
    k, r, p, j = torch.meshgrid(*map(torch.arange, (kernel, 2, 2, kernel // 2 + 1)), indexing="ij")
    line = (k == 2 * j + p - r).float()
    taps = torch.einsum("krpj,lsqm->klrspqjm", line, line).reshape(kernel**2, 4, -1)
    return taps.sum(dim=1) if upsample else taps.flatten(1)
