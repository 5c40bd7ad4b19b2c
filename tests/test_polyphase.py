"""Polyphase convolutions against upsampling and transposed convolutions as torch has them."""

import copy

import pytest
import torch
from dvae_plugins.decoders import ConvDecoder
from dvae_plugins.polyphase import ConvTranspose2d, FromPhases
from torch import nn


def plain(decoder, sides):
    """The conv decoder of torch's own layers, with the same weights by the same names."""
    layers = []
    for module in decoder:
        match module:
            case FromPhases():
                layers.append(nn.Conv2d(module.in_channels, module.out_channels, 1))
            case ConvTranspose2d():
                layers.append(nn.ConvTranspose2d(*module.weight.shape[:2], module.kernel_size))
            case nn.LeakyReLU():
                layers.append(nn.LeakyReLU(module.negative_slope))
            case nn.Identity():
                layers.append(nn.Upsample(scale_factor=2))
            case _:
                layers.append(copy.deepcopy(module))
    network = nn.Sequential(*layers).double()
    network.load_state_dict(decoder.state_dict())
    network[-1] = nn.Sequential(Cut(*sides), network[-1])
    return network


class Cut(nn.Module):
    def __init__(self, height, width):
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x):
        return x[..., : self.height, : self.width]


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 31, 40), (2, 43, 33)])
def test_the_conv_decoder_is_what_the_plain_layers_compute(kernel, shape):
    decoder = ConvDecoder(kernel=kernel, channels=(3, 4, 2)).build(2, shape).double()
    for parameter in decoder.parameters():
        nn.init.normal_(parameter)  # biases of nought would hide where they are added
    own = plain(decoder, shape[1:])
    z = torch.randn(3, 2, dtype=torch.double)
    ours, expected = decoder(z), own(z)
    torch.testing.assert_close(ours, expected)
    weights = torch.randn_like(ours)
    (ours * weights).sum().backward()
    (expected * weights).sum().backward()
    for mine, theirs in zip(decoder.parameters(), own.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


@pytest.mark.parametrize("channels", [1, 3])
def test_autocast_makes_bfloat16_of_it(channels):
    decoder = ConvDecoder().build(2, (channels, 28, 28))
    z = torch.randn(8, 2)
    with torch.autocast("cpu", torch.bfloat16):
        logits = decoder(z)
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), decoder(z), rtol=0.05, atol=0.05)
