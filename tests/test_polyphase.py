"""Polyphase convolutions against upsampling and transposed convolutions as torch has them."""

import copy

import pytest
import torch
from dvae_plugins.decoders import ConvDecoder
from dvae_plugins.networks import PixelLinear
from dvae_plugins.polyphase import ConvTranspose2d, FromPhases, PolyphaseConvTranspose2d
from torch import nn


def plain(decoder, sides):
    """The conv decoder with torch's own layers and the same parameters."""
    layers = []
    for module in decoder:
        if isinstance(module, ConvTranspose2d):
            own = nn.ConvTranspose2d(module.in_channels, module.out_channels, module.kernel_size)
            upsample = getattr(module, "upsample", False)
            layers += [nn.Upsample(scale_factor=2), own] if upsample else [own]
        elif isinstance(module, PixelLinear):
            layers += [Cut(*sides), nn.Conv2d(module.in_channels, module.out_channels, 1)]
        elif isinstance(module, nn.LeakyReLU):
            layers.append(nn.LeakyReLU(module.negative_slope))
        elif not isinstance(module, FromPhases):
            layers.append(module)
    network = nn.Sequential(*layers).double()
    for own, theirs in zip(network.parameters(), decoder.parameters(), strict=True):
        own.data.copy_(theirs.data)
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
    own = plain(copy.deepcopy(decoder), shape[1:])
    z = torch.randn(3, 2, dtype=torch.double)
    ours, expected = decoder(z), own(z)
    torch.testing.assert_close(ours, expected)
    weights = torch.randn_like(ours)
    (ours * weights).sum().backward()
    (expected * weights).sum().backward()
    for mine, theirs in zip(decoder.parameters(), own.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_the_parameters_are_those_of_the_plain_layer():
    ours = PolyphaseConvTranspose2d(3, 2, 5, upsample=True)
    plain_layer = nn.ConvTranspose2d(3, 2, 5)
    assert ours.state_dict().keys() == plain_layer.state_dict().keys()
    assert ours.weight.shape == plain_layer.weight.shape


@pytest.mark.parametrize("channels", [1, 3])
def test_the_last_map_is_a_one_by_one_convolution(channels):
    ours, conv = PixelLinear(channels), nn.Conv2d(channels, channels, 1)
    conv.load_state_dict(ours.state_dict())
    x = torch.randn(2, channels, 5, 4)
    torch.testing.assert_close(ours(x), conv(x))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(ours(x.bfloat16()), conv(x.bfloat16()), rtol=0.02, atol=0.02)
