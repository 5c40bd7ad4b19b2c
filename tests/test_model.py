"""The networks, the losses and the model: shapes, and known answers."""

import numpy as np
import pytest
import torch
from dvae_plugins.decoders import ConvDecoder, MLPDecoder
from dvae_plugins.encoders import ConvEncoder, MLPEncoder
from dvae_plugins.heads import LinearHead, MLPHead
from dvae_plugins.kls import AbsKL, SquareKL
from dvae_plugins.reconstructions import Bernoulli, SquaredError
from torch.distributions import Bernoulli as BernoulliDistribution
from torch.distributions import Normal, kl_divergence

from dvae_core.errors import RecipeError
from dvae_core.model.guided_vae import build_model
from dvae_core.model.ledger import Ledger
from dvae_core.model.objective import Objective
from dvae_core.recipe.recipe import load_recipe
from dvae_core.recipe.timeline import Timeline

from .helpers import RECIPES

CLASSES = tuple("0123456789")


def sizes(module):
    return [tuple(p.shape) for p in module.parameters()]


def test_the_conv_networks_are_the_original_ones():
    encoder = ConvEncoder().build((1, 28, 28))
    assert encoder(torch.zeros(1, 1, 28, 28)).shape == (1, 1152)
    assert sizes(encoder)[::2] == [(32, 1, 5, 5), (32, 32, 5, 5), (32, 32, 5, 5)]
    decoder = ConvDecoder().build(2, (1, 28, 28))
    assert decoder(torch.zeros(1, 2)).shape == (1, 1, 28, 28)
    assert sizes(decoder)[::2] == [
        (1152, 2), (32, 32, 5, 5), (32, 16, 5, 5), (16, 1, 5, 5), (1, 1, 1, 1),
    ]  # fmt: skip
    assert sizes(MLPHead().build(2, CLASSES))[::2] == [(10, 2), (10, 10), (10, 10)]


def test_weights_start_glorot_uniform_and_biases_at_zero():
    linear = MLPEncoder(hidden=(300,)).build((1, 28, 28))[1]
    limit = (6 / (784 + 300)) ** 0.5
    assert linear.weight.abs().max() <= limit
    assert linear.weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.02)
    assert linear.bias.abs().max() == 0


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 18, 18), (3, 21, 40), (2, 64, 47)])
@pytest.mark.parametrize(
    ("encoder", "decoder"), [(ConvEncoder(), ConvDecoder()), (MLPEncoder(), MLPDecoder())]
)
def test_both_families_adapt_to_sizes_and_channels(encoder, decoder, shape):
    features = encoder.build(shape)(torch.rand(1, *shape))
    assert features.shape[0] == 1
    assert features.ndim == 2
    assert decoder.build(5, shape)(torch.rand(3, 5)).shape == (3, *shape)


def test_conv_says_which_size_it_needs():
    with pytest.raises(ValueError, match="at least 18x18 pixels, and these are 16x16"):
        ConvEncoder().build((1, 16, 16))
    with pytest.raises(ValueError, match="at least 17x17 pixels, and these are 16x16"):
        ConvDecoder().build(2, (1, 16, 16))
    ConvEncoder(kernel=3).build((1, 16, 16))


def test_the_smallest_sizes_that_conv_names_do_work():
    for kernel in (2, 3, 5):
        for smaller, builder in (
            (0, lambda k, s: ConvEncoder(kernel=k).build((1, s, s))(torch.zeros(1, 1, s, s))),
            (1, lambda k, s: ConvDecoder(kernel=k).build(2, (1, s, s))(torch.zeros(1, 2))),
        ):
            smallest = 4 * kernel - 2 - smaller
            builder(kernel, smallest)
            with pytest.raises(ValueError, match=f"at least {smallest}x{smallest}"):
                builder(kernel, smallest - 1)


def test_heads_give_logits():
    for head in (MLPHead(), LinearHead()):
        logits = head.build(3, CLASSES)(torch.randn(7, 3))
        assert logits.shape == (7, 10)
        assert not torch.allclose(logits.exp().sum(dim=1), torch.ones(7))


def test_square_kl_is_the_divergence():
    mean, log_var = torch.randn(6, 3), torch.randn(6, 3)
    expected = kl_divergence(Normal(mean, (0.5 * log_var).exp()), Normal(0.0, 1.0)).sum(dim=1)
    kl = SquareKL().build(3, CLASSES)(mean, log_var, torch.zeros(6, dtype=torch.long))
    torch.testing.assert_close(kl, expected)


def test_abs_kl_replaces_the_square():
    mean, log_var = torch.tensor([[2.0, -0.5]]), torch.tensor([[0.0, 1.0]])
    kl = AbsKL().build(2, CLASSES)(mean, log_var, torch.zeros(1, dtype=torch.long))
    by_hand = -0.5 * (1 + 0 - 2 - 1) + -0.5 * (1 + 1 - 0.5 - np.e)
    assert kl.item() == pytest.approx(by_hand)
    assert SquareKL.divergence
    assert not AbsKL.divergence


def test_reconstructions_are_sums_over_pixels():
    logits, images = torch.randn(4, 3, 5, 5), torch.rand(4, 3, 5, 5)
    squared = SquaredError().loss(logits, images)
    by_hand = ((1 / (1 + np.exp(-logits.numpy())) - images.numpy()) ** 2).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(squared.numpy(), by_hand, rtol=1e-5)
    binary = images.round()
    expected = -BernoulliDistribution(logits=logits).log_prob(binary).sum(dim=(1, 2, 3))
    torch.testing.assert_close(Bernoulli().loss(logits, binary), expected)
    torch.testing.assert_close(Bernoulli().image(logits), logits.sigmoid())


@pytest.fixture
def small():
    recipe = load_recipe(RECIPES / "mnist_mlp.toml", ["encoder.hidden=[8]", "decoder.hidden=[8]"])
    torch.manual_seed(0)
    model = build_model(recipe, (1, 6, 6), CLASSES)
    return recipe, model, Objective(recipe, model, Timeline(469, 10))


def test_the_loss_is_the_weighted_sum_of_its_terms(small):
    _, model, objective = small
    images, labels = torch.rand(9, 1, 6, 6), torch.arange(9)
    outputs = model(images, torch.randn(9, 2))
    loss, row = objective(outputs, labels, torch.tensor(objective.weights_at(0)))
    values = dict(zip(("loss", *objective.names, "correct", "labelled"), row.tolist(), strict=True))
    assert objective.names == ("reconstruction", "kl", "guidance")
    cross_entropy = torch.nn.functional.cross_entropy(outputs.class_logits, labels).item()
    assert values["guidance"] == pytest.approx(cross_entropy, rel=1e-5)
    total = values["reconstruction"] + 0.5 * values["kl"] + 20 * values["guidance"]
    assert loss.item() == pytest.approx(total, rel=1e-5)
    assert values["labelled"] == 9


def test_hidden_labels_take_no_part_in_the_guidance(small):
    _, model, objective = small
    images, noise = torch.rand(9, 1, 6, 6), torch.randn(9, 2)
    labels = torch.tensor([3, -1, 4, -1, -1, 1, -1, -1, 5])
    weights = torch.tensor(objective.weights_at(0))
    _, some = objective(model(images, noise), labels, weights)
    seen = labels >= 0
    _, alone = objective(model(images[seen], noise[seen]), labels[seen], weights)
    assert some[3].item() == pytest.approx(alone[3].item(), rel=1e-5)
    assert some[-1].item() == 4
    loss, none = objective(model(images, noise), torch.full((9,), -1), weights)
    assert none[3].item() == 0
    assert torch.isfinite(loss)


def test_a_plain_vae_has_no_head_and_no_guidance():
    recipe = load_recipe(RECIPES / "mnist_plain.toml")
    model = build_model(recipe, (1, 28, 28), CLASSES)
    outputs = model(torch.rand(2, 1, 28, 28), torch.randn(2, 2))
    assert outputs.class_logits is None
    assert Objective(recipe, model, Timeline(938, 10)).names == ("reconstruction", "kl")


def test_images_that_a_part_cannot_take_are_a_recipe_error():
    recipe = load_recipe(RECIPES / "mnist_abs.toml")
    with pytest.raises(RecipeError, match="needs images of at least 18x18"):
        build_model(recipe, (1, 8, 8), CLASSES)


def test_a_part_that_breaks_its_contract_is_named(install):
    install(
        "dvae-wrong",
        """
        from dvae_core import Head, hookimpl

        class Wrong(Head):
            "A head with one logit too many."
            name = "wrong"
            def build(self, latent_dim, classes):
                from torch import nn
                return nn.Linear(latent_dim, len(classes) + 1)

        @hookimpl
        def register_heads():
            return [Wrong]
        """,
    )
    from dvae_core.errors import DvaeError

    recipe = load_recipe(RECIPES / "mnist_mlp.toml", ["guidance.name=wrong"])
    with pytest.raises(
        DvaeError, match=r'head "wrong" gave .* \[2, 11\] .* where \[2, 10\] is due'
    ):
        build_model(recipe, (1, 8, 8), CLASSES)


def test_the_ledger_averages_over_images():
    ledger = Ledger(("a", "guidance"), torch.device("cpu"), block=2)
    assert not ledger.add(torch.tensor([1.0, 2.0, 4.0, 3.0, 4.0]), 4)
    assert ledger.add(torch.tensor([4.0, 8.0, 1.0, 1.0, 1.0]), 1)
    assert ledger.read() is None
    assert ledger.means() == {
        "train/loss": pytest.approx(8 / 5),
        "train/a": pytest.approx(16 / 5),
        "train/guidance": pytest.approx(17 / 5),
        "train/guidance_accuracy": pytest.approx(4 / 5),
    }


def test_the_ledger_finds_the_first_row_that_is_not_finite():
    ledger = Ledger(("a",), torch.device("cpu"), block=10)
    for value in (1.0, float("nan"), float("inf")):
        ledger.add(torch.tensor([value, value, 0.0, 0.0]), 4)
    ago, values = ledger.read()
    assert ago == 1
    assert np.isnan(values["a"])
