"""The methods of examples/dvae-methods: each conforms, goes on exactly, and does what it claims."""

import math
import shutil
import signal
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dvae_core import Sample, load_run
from dvae_core.errors import Interrupted, RecipeError
from dvae_core.model.guided_vae import Outputs
from dvae_core.plugin.registry import load_registry
from dvae_core.randomness import generator
from dvae_core.recipe.recipe import load_recipe
from dvae_core.runs.watch import Watch
from dvae_core.stopping import request_stop
from dvae_core.testing import check
from dvae_core.training.run import resume_run, run_recipe

from .helpers import ROOT, rows, same_state, state

PACKAGE = ROOT / "examples" / "dvae-methods"
METHODS = sorted(PACKAGE.glob("src/dvae_methods/[a-z]*.py"))
LEARNED = {
    "acai": "terms.acai.network.1.weight",
    "centre": "terms.centre.centres",
    "factor_vae": "terms.total_correlation.network.0.weight",
    "hierarchical": "kl.down.0.weight",
    "iwae": "encoder.1.weight",
    "vq": "posterior.entries",
}
"""What each recipe trains, by name."""


@pytest.fixture
def methods(as_installed, tmp_path):
    """The package, installed: its components by kind and name."""
    shutil.copytree(PACKAGE, tmp_path / "package")
    as_installed(tmp_path / "package")
    return load_registry()


def short(name, *changes):
    """A recipe of the package on a little of the real MNIST: two epochs of five steps."""
    few = ["dataset.train_limit=600", "dataset.test_limit=100", "train.epochs=2"]
    return load_recipe(name, [*few, "evaluate.metrics=[]", "evaluate.plots=[]", *changes])


def outputs(z, mean=None, sample=None):
    mean = z if mean is None else mean
    return Outputs(torch.zeros(len(z), 1), mean, 0 * z, z, torch.zeros(len(z), 1), None, sample)


def test_none_is_longer_than_sixty_lines():
    assert len(METHODS) == len(LEARNED)
    for file in METHODS:
        assert len(file.read_text().splitlines()) <= 60, file


@pytest.mark.slow
def test_all_conform(methods):
    unchecked = {}
    for provider in methods.providers:
        if provider.distribution == "dvae-methods":
            outcomes = check(provider.component)
            assert [o for o in outcomes if o.status in ("failed", "note")] == []
            unchecked[provider.name] = [o.check for o in outcomes if o.status == "not checked"]
    # It is for one posterior alone; how it goes on is looked at below.
    assert unchecked.pop("commitment") == ["gives_a_scalar_that_trains", "goes_on_where_it_stopped"]
    assert len(unchecked) == 6
    assert not any(unchecked.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNED)
def test_a_run_goes_on_exactly_and_what_it_trained_is_found_by_name(methods, tmp_path, name):
    class Stopper(Watch):
        def stepped(self, step, means):
            if step == 3:
                request_stop(signal.SIGINT)

    recipe = short(name, 'train.checkpoint_every="3 steps"')
    whole = run_recipe(recipe, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run_recipe(recipe, tmp_path / "stopped", watch=Stopper())
    (stopped,) = (tmp_path / "stopped").iterdir()
    done = resume_run(stopped)
    assert rows(done) == rows(whole)
    same, other = state(done), state(whole)
    for part in ("model", "objective", "optimizer", "global_random"):
        assert same_state(same[part], other[part]), part
    trained = load_run(whole.path)
    assert (trained.parameters[LEARNED[name]] == trained.snapshot().parameters[LEARNED[name]]).all()
    fresh = load_run(run_recipe(short(name, "optimizer.lr=1e-9"), tmp_path / "fresh").path)
    assert (trained.parameters[LEARNED[name]] != fresh.parameters[LEARNED[name]]).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["factor_vae", "vq"])
def test_two_ranks_have_the_curve_of_one_process(methods, tmp_path, monkeypatch, name):
    import tomli_w

    from .test_ranks import assert_same_curve, end, the_run, train

    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'package' / 'src'}:{ROOT}:{ROOT / 'plugins'}")
    recipe = short(name)
    alone = run_recipe(recipe, tmp_path / "alone")
    (tmp_path / "recipe.toml").write_text(tomli_w.dumps(recipe.to_table()))
    code, _, err = end(train(tmp_path / "recipe.toml", tmp_path / "two"))
    assert code == 0, err
    assert_same_curve(rows(alone), rows(the_run(tmp_path / "two")))


# --- Against known answers.


def test_the_critic_finds_the_total_correlation_of_a_normal_distribution(methods):
    torch.manual_seed(0)
    critic = methods.get("term", "total_correlation")(width=64).build(SimpleNamespace(latent_dim=2))
    correlation, found = 0.9, []
    for step in range(600):
        z = torch.randn(512, 2)
        z[:, 1] = correlation * z[:, 0] + math.sqrt(1 - correlation**2) * z[:, 1]
        estimate = critic(outputs(z), None).item()
        found += [estimate] * (step >= 500)
    # -1/2 log(1 - 0.81), in nats.
    assert sum(found) / len(found) == pytest.approx(0.830, abs=0.12)


def test_the_critic_of_mixtures_guesses_how_much_was_mixed(methods):
    class Linear:
        """What is decoded is z itself, so that a mixture of +-1 tells how it was mixed."""

        image_shape, reconstruction = (1, 1, 1), SimpleNamespace(image=lambda logits: logits)

        def decode(self, z):
            return z[:, :, None, None]

    torch.manual_seed(0)
    critic = methods.get("term", "acai")(width=32).build(Linear())
    z = torch.tensor([-1.0, 1.0]).repeat(128)[:, None]
    seen = outputs(z)
    seen = Outputs(z[:, :, None, None], seen.mean, seen.log_var, z, seen.logits, None)
    for _ in range(500):
        value = critic(seen, None)
    # Neighbours differ: the mean of the squared share, uniform in [0, 1/2], is 1/12.
    assert value.item() == pytest.approx(1 / 12, abs=0.02)
    assert critic.network(seen.images).abs().max() < 0.1


def test_the_importance_weighted_term_is_minus_the_bound(methods, tmp_path, monkeypatch):
    recipe = short("iwae", "train.epochs=1")
    snapshot = load_run(run_recipe(recipe, tmp_path).path).snapshot()
    bound = snapshot.log_likelihood(snapshot.test_sample(100), samples=5).mean()
    # The same noise as there; the constant of "bernoulli" is 0.
    noise = generator(recipe.seed, "importance samples")
    monkeypatch.setattr(torch, "randn_like", lambda z: torch.randn(z.shape, generator=noise))
    term = methods.get("term", "importance_weighted")(samples=5).build(snapshot._networks.model)
    images = torch.from_numpy(snapshot.test_images.copy())
    z = torch.zeros(len(images), recipe.latent.dim)
    with torch.no_grad():
        loss = term(Outputs(images, z, z, z, images, None), None).item()
    assert -loss == pytest.approx(bound, abs=1e-3)


def test_the_importance_weighted_term_refuses_what_is_no_divergence(methods, tmp_path):
    with pytest.raises(RecipeError, match=r"\[terms.0\] the KL is no divergence"):
        run_recipe(short("iwae", "kl.name='abs'"), tmp_path)


def test_the_centre_loss_by_hand(methods):
    model = SimpleNamespace(classes=("a", "b"), latent_dim=2)
    term = methods.get("term", "centre")().build(model)
    term.centres.data = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    mean = torch.tensor([[3.0, 4.0], [1.0, 2.0], [9.0, 9.0]], requires_grad=True)
    # Half of 25 and half of 1, over the two that have a label.
    value = term(outputs(mean.detach(), mean), torch.tensor([0, 1, -1]))
    assert value.item() == pytest.approx(6.5)
    value.backward()
    assert mean.grad.tolist() == [[1.5, 2.0], [0.0, 0.5], [0.0, 0.0]]
    assert term(outputs(mean, mean), torch.full((3,), -1)).item() == 0


def test_vectors_are_quantised_by_hand(methods):
    posterior = methods.get("posterior", "vq")(codes=2, size=2)
    with pytest.raises(ValueError, match="no multiple of size = 2"):
        posterior.build(4, 3)
    book = posterior.build(4, 4)
    book.to_mean = nn.Identity()
    book.entries.data = torch.tensor([[0.0, 0.0], [10.0, 10.0]])
    features = torch.tensor([[1.0, 2.0, 9.0, 10.0]], requires_grad=True)
    sample = book(features, torch.zeros(1, 4))
    assert sample.z.tolist() == [[0.0, 0.0, 10.0, 10.0]]
    assert sample.apart.tolist() == [1.25 * (1 + 4 + 1)]
    sample.z.sum().backward()
    assert features.grad.tolist() == [[1.0] * 4]  # as if nothing were between
    assert book.entries.grad is None
    book(features, torch.zeros(1, 4)).apart.sum().backward()
    assert book.entries.grad.tolist() == [[-2.0, -4.0], [2.0, 0.0]]


def test_a_prior_whose_cause_changes_nothing_is_the_normal_one(methods):
    kl = methods.get("kl", "hierarchical")(top=3, width=8).build(2, ("a", "b"))
    for parameter in kl.parameters():
        nn.init.zeros_(parameter)
    z = torch.randn(6, 2)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(dim=1)
    torch.testing.assert_close(kl.log_prior(z), expected)
    # Of the posterior N(0, 1) itself the term is 0, whatever the sample.
    own = Sample(z, 0 * z, 0 * z, noise=z)
    torch.testing.assert_close(kl(0 * z, 0 * z, None, outputs(z, 0 * z, own)), torch.zeros(6))
