"""The conformance kit passes what is right and catches, by name, what is wrong."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from dvae_plugins.datasets.own import NPZ, ImageFolder
from pydantic import ConfigDict
from torch import nn

from dvae_core import (
    KL,
    Callback,
    Dataset,
    Decoder,
    Encoder,
    Head,
    IndependentNormal,
    LabelledImages,
    Launcher,
    Metric,
    Plot,
    Posterior,
    Reconstruction,
    Sample,
    Schedule,
    Term,
    run_job,
)
from dvae_core.plugin.registry import load_registry
from dvae_core.testing import check, checks, conformance
from dvae_core.testing.checks import register
from dvae_core.testing.toys import TOYS, ToyDataset

BUILT_INS = [p for p in load_registry().providers if p.distribution == "dvae-core"]
NEED_FILES = {"npz", "image_folder"}
THROUGH_TORCHVISION = {"kmnist", "emnist", "qmnist", "usps", "cifar10"}
NEED_A_NETWORK = THROUGH_TORCHVISION | {"fashion_mnist", "medmnist", "huggingface"}


def failures(component):
    return {o.check: o.reason for o in check(component) if o.status == "failed"}


def notes(component):
    return {o.check: o.reason for o in check(component) if o.status == "note"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "provider",
    [p for p in BUILT_INS if p.name not in NEED_FILES | NEED_A_NETWORK],
    ids=lambda p: f"{p.kind}-{p.name}",
)
def test_every_built_in_conforms(provider):
    outcomes = check(provider.component)
    assert [o for o in outcomes if o.status != "passed"] == []


def test_data_sets_from_files_conform(blobs, tmp_path):
    from PIL import Image

    for c in ("a", "b"):
        (tmp_path / "images" / c).mkdir(parents=True)
        for i in range(5):
            Image.new("L", (6, 6), 20 * i).save(tmp_path / "images" / c / f"{i}.png")
    for dataset in (NPZ(path=blobs), ImageFolder(path=tmp_path / "images")):
        assert [o for o in check(dataset) if o.status != "passed"] == []


@pytest.mark.parametrize("name", sorted(NEED_A_NETWORK))
def test_data_sets_that_are_not_here_are_not_called_wrong(name, monkeypatch):
    import dvae_plugins.datasets.idx as idx
    import dvae_plugins.datasets.through_torchvision as through_torchvision

    def refuse(*arguments, **keywords):
        raise OSError("no network")

    monkeypatch.setattr(idx, "download", refuse)
    monkeypatch.setattr(idx.FashionMNIST, "debian_folder", Path("/nowhere"))
    monkeypatch.setattr(through_torchvision, "download", refuse)
    monkeypatch.setattr("medmnist.dataset.MedMNIST.download", refuse)
    monkeypatch.setattr("datasets.load_dataset", refuse)
    outcomes = check(load_registry().get("dataset", name))
    assert {o.check: o.status for o in outcomes if o.status != "passed"} == {
        "gives_labelled_images": "not checked",
        "gives_the_same_twice": "not checked",
    }


def test_the_toys_conform():
    for toy in TOYS:
        outcomes = check(toy)
        # The toys live beside torch, which no plugin may do.
        assert [o.check for o in outcomes if o.status != "passed"] == ["imports_quickly"], toy


# --- Wrong components, each wrong in one way, with the check that must catch it.


class GoodSchedule(Schedule):
    """Falls."""

    name = "wrong"

    def value(self, t):
        return 1 / (1 + t)


class NoDocstring(Schedule):
    name = "wrong"

    def value(self, t):
        return 1.0


class NoSentence(GoodSchedule):
    """falls"""


class BareKey(GoodSchedule):
    """Falls."""

    start: float = 1.0


class Thawed(GoodSchedule):
    """Falls."""

    model_config = ConfigDict(frozen=False)


class Lax(GoodSchedule):
    """Falls."""

    model_config = ConfigDict(extra="ignore")


class NoSchema(GoodSchedule):
    """Falls."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    thing: np.ndarray = np.zeros(1)
    """A thing that no recipe can hold."""


class Unpicklable(GoodSchedule):
    """Falls."""

    def __reduce__(self):
        raise TypeError("no pickles")


class Impossible(GoodSchedule):
    """Falls."""

    example: ClassVar[dict] = {"start": "low"}
    start: float = 1.0
    """Where it starts."""


class Infinite(GoodSchedule):
    """Falls."""

    def value(self, t):
        return 1 / t if t else float("inf")


class Raising(GoodSchedule):
    """Falls."""

    def value(self, t):
        return [3.0, 2.0, 1.0][int(t)]


class Tensorial(GoodSchedule):
    """Falls."""

    def value(self, t):
        return torch.tensor(1.0)


class Random(GoodSchedule):
    """Falls."""

    def value(self, t):
        return float(np.random.rand())


class Promising(GoodSchedule):
    """Falls."""

    def value(self, t):
        return max(0.0, 1 - t / 100)

    def settles_at(self):
        return 50.0


class GoodKL(KL):
    """Pulls."""

    name = "wrong"

    def build(self, latent_dim, classes):
        return self.kl

    @staticmethod
    def kl(mean, log_var, labels):
        return (mean.square() + log_var.square()).sum(dim=1)


class Averaging(GoodKL):
    """Pulls."""

    @staticmethod
    def kl(mean, log_var, labels):
        return (mean.square() + log_var.square()).mean()


class BatchDependent(GoodKL):
    """Pulls."""

    @staticmethod
    def kl(mean, log_var, labels):
        return (mean.square() + log_var.square()).sum(dim=1) / len(mean)


class Overflowing(GoodKL):
    """Pulls."""

    @staticmethod
    def kl(mean, log_var, labels):
        return (mean.square() + log_var.square()).sum(dim=1).mul(1000).exp()


class Detached(GoodKL):
    """Pulls."""

    @staticmethod
    def kl(mean, log_var, labels):
        return GoodKL.kl(mean.detach(), log_var.detach(), labels)


class HalfDetached(GoodKL):
    """Pulls."""

    @staticmethod
    def kl(mean, log_var, labels):
        return mean.square().sum(dim=1)


class FalseDivergence(GoodKL):
    """Pulls."""

    divergence = True

    @staticmethod
    def kl(mean, log_var, labels):
        return mean.square().sum(dim=1) - log_var.square().sum(dim=1)


class HalfDivergence(GoodKL):
    """Pulls."""

    divergence = True

    @staticmethod
    def kl(mean, log_var, labels):
        return 0.25 * (mean.square() + log_var.exp() - 1 - log_var).sum(dim=1)


class LabelHungry(GoodKL):
    """Pulls."""

    @staticmethod
    def kl(mean, log_var, labels):
        bad = torch.where(labels >= 0, 0.0, float("nan"))
        return GoodKL.kl(mean, log_var, labels) + bad


class GoodHead(Head):
    """Judges."""

    name = "wrong"
    end: ClassVar[type[nn.Module] | None] = None

    def build(self, latent_dim, classes):
        layers = [nn.Linear(latent_dim, len(classes))]
        if self.end is not None:
            layers.append(self.end(dim=1) if self.end is not nn.Sigmoid else nn.Sigmoid())
        return nn.Sequential(*layers)


class Softmax(GoodHead):
    """Judges."""

    end = nn.Softmax


class LogSoftmax(GoodHead):
    """Judges."""

    end = nn.LogSoftmax


class Sigmoid(GoodHead):
    """Judges."""

    end = nn.Sigmoid


class OneTooMany(GoodHead):
    """Judges."""

    def build(self, latent_dim, classes):
        return nn.Linear(latent_dim, len(classes) + 1)


class Idle(nn.Module):
    """A network with a parameter that nothing reaches."""

    def __init__(self, network):
        super().__init__()
        self.network, self.idle = network, nn.Parameter(torch.ones(1))

    def forward(self, inputs):
        return self.network(inputs)


class IdleHead(GoodHead):
    """Judges."""

    def build(self, latent_dim, classes):
        return Idle(nn.Linear(latent_dim, len(classes)))


class OneLoss(GoodHead):
    """Judges."""

    def loss(self, logits, labels):
        return super().loss(logits, labels).mean()


class CrowdLoss(GoodHead):
    """Judges."""

    def loss(self, logits, labels):
        return super().loss(logits - logits.mean(0), labels)


class NoModule(GoodHead):
    """Judges."""

    def build(self, latent_dim, classes):
        return lambda z: z


class GoodEncoder(Encoder):
    """Encodes."""

    name = "wrong"

    def build(self, image_shape):
        return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(image_shape)), 8))


class Residual(GoodEncoder):
    """Encodes; its last layer starts at zero."""

    def build(self, image_shape):
        last = nn.Linear(8, 8)
        nn.init.zeros_(last.weight)
        return nn.Sequential(super().build(image_shape), nn.Tanh(), last)


class Unflattened(GoodEncoder):
    """Encodes."""

    def build(self, image_shape):
        return nn.Conv2d(image_shape[0], 4, 3)


class GreyOnly(GoodEncoder):
    """Encodes."""

    def build(self, image_shape):
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten())


class BatchNormed(GoodEncoder):
    """Encodes."""

    def build(self, image_shape):
        return nn.Sequential(super().build(image_shape), nn.BatchNorm1d(8))


class Scribbled(GoodEncoder):
    """Encodes, and leaves other images behind."""

    def build(self, image_shape):
        return nn.Sequential(nn.Hardtanh(0.2, 0.8, inplace=True), super().build(image_shape))


class IdleEncoder(GoodEncoder):
    """Encodes."""

    def build(self, image_shape):
        return Idle(super().build(image_shape))


class Choosy(GoodEncoder):
    """Encodes."""

    def build(self, image_shape):
        raise ValueError("needs 64x64")


class GoodDecoder(Decoder):
    """Decodes."""

    name = "wrong"

    def build(self, latent_dim, image_shape):
        linear = nn.Linear(latent_dim, int(np.prod(image_shape)))
        return nn.Sequential(linear, nn.Unflatten(1, image_shape))


class Activated(GoodDecoder):
    """Decodes."""

    def build(self, latent_dim, image_shape):
        return nn.Sequential(super().build(latent_dim, image_shape), nn.Sigmoid())


class Flat(GoodDecoder):
    """Decodes."""

    def build(self, latent_dim, image_shape):
        return nn.Linear(latent_dim, int(np.prod(image_shape)))


class IdleDecoder(GoodDecoder):
    """Decodes."""

    def build(self, latent_dim, image_shape):
        return Idle(super().build(latent_dim, image_shape))


class GoodReconstruction(Reconstruction):
    """Compares."""

    name = "wrong"

    def image(self, logits):
        return logits.sigmoid()

    def loss(self, logits, images):
        return (logits.sigmoid() - images).square().flatten(1).sum(dim=1)


class Unbounded(GoodReconstruction):
    """Compares."""

    def image(self, logits):
        return logits


class Scalar(GoodReconstruction):
    """Compares."""

    def loss(self, logits, images):
        return super().loss(logits, images).mean()


class PixelMean(GoodReconstruction):
    """Compares."""

    def loss(self, logits, images):
        return (logits.sigmoid() - images).square().flatten(1).mean(dim=1)


class TwiceTooLikely(GoodReconstruction):
    """Compares."""

    def log_constant(self, pixels):
        return pixels * np.log(2)


class Built(nn.Module):
    """A reconstruction with a parameter that nothing uses."""

    def __init__(self, component):
        super().__init__()
        self.idle = nn.Parameter(torch.ones(()))
        self.image, self.loss = component.image, component.loss


class IdleReconstruction(GoodReconstruction):
    """Compares."""

    def build(self, image_shape):
        return Built(self)


class Told(nn.Module):
    """A decoder that is told the label, and adds a number of the label's own."""

    def __init__(self, network, places):
        super().__init__()
        self.network = network
        self.places = nn.Parameter(places)

    def forward(self, z, labels):
        return self.network(z) + self.places[labels][:, None, None, None]


class Deaf(nn.Module):
    """A decoder that does not listen to the label."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, z, labels):
        return self.network(z)


class ZeroStart(GoodDecoder):
    """Decodes; in the beginning the class changes nothing."""

    given_labels = True

    def build(self, latent_dim, image_shape, classes):
        return Told(super().build(latent_dim, image_shape), torch.zeros(len(classes) + 1))


class LabelDeaf(GoodDecoder):
    """Decodes; the class changes nothing."""

    given_labels = True

    def build(self, latent_dim, image_shape, classes):
        return Deaf(super().build(latent_dim, image_shape))


class Hidebound(GoodDecoder):
    """Decodes; a hidden label is the last class to it."""

    given_labels = True

    def build(self, latent_dim, image_shape, classes):
        return Told(super().build(latent_dim, image_shape), torch.randn(len(classes)))


class Standard(nn.Module):
    """From a sample, the divergence to N(0, 1), or to so many times that."""

    def __init__(self, times):
        super().__init__()
        self.times = times

    def log_prior(self, z):
        return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(dim=1) + np.log(self.times)

    def forward(self, mean, log_var, labels, outputs):
        return outputs.log_q - self.log_prior(outputs.z)


class GoodSampling(KL):
    """Pulls, by one sample."""

    name = "wrong"
    divergence = True
    given_outputs = True
    times: ClassVar[float] = 1.0

    def build(self, latent_dim, classes):
        return Standard(self.times)


class Heavy(GoodSampling):
    """Pulls to twice N(0, 1)."""

    times = 2.0


class Heaviest(GoodSampling):
    """Pulls to e^20 N(0, 1)."""

    times = np.exp(20.0)


class Mute(GoodSampling):
    """Pulls, and does not say where."""

    def build(self, latent_dim, classes):
        return Standard(1.0).forward


class GoodDrawing(GoodSampling):
    """Pulls, by a further sample of its own."""

    def build(self, latent_dim, classes):
        return Drawing(self.around)

    def around(self, z):
        return z


class CrowdDrawing(GoodDrawing):
    """Pulls, by a further sample of its own, to where the batch is."""

    def around(self, z):
        return z - z.mean(dim=0)


class Drawing(Standard):
    """As if z were known no better than to a tenth."""

    def __init__(self, around):
        super().__init__(1.0)
        self.around = around

    def log_prior(self, z):
        return super().log_prior(self.around(z) + 0.1 * torch.randn_like(z))


class Changed(nn.Module):
    """The usual posterior, and what becomes of its samples."""

    def __init__(self, base, change):
        super().__init__()
        self.base = base
        self.change = change

    def forward(self, features, noise):
        return self.change(self.base(features, noise))


class GoodPosterior(Posterior):
    """Makes latent points."""

    name = "wrong"
    family = "independent normal"

    def build(self, features, latent_dim):
        return Changed(IndependentNormal(features, latent_dim), self.change)

    def change(self, sample):
        return sample


class Dropping(GoodPosterior):
    """Makes latent points."""

    def build(self, features, latent_dim):
        return Dropped(IndependentNormal(features, latent_dim))


class Dropped(nn.Module):
    """Features go through dropout first."""

    def __init__(self, network):
        super().__init__()
        self.network, self.dropout = network, nn.Dropout(0.5)

    def forward(self, features, noise):
        return self.network(self.dropout(features), noise)


class HalfPrecise(GoodPosterior):
    """Makes latent points."""

    def build(self, features, latent_dim):
        return Half(features, latent_dim)


class Half(IndependentNormal):
    """As it comes from the linear layers."""

    def forward(self, features, noise):
        mean, log_var = self.to_mean(features), self.to_log_var(features)
        return Sample(mean + noise * (0.5 * log_var).exp(), mean, log_var, noise=noise)


class BareTensor(GoodPosterior):
    """Makes latent points."""

    def change(self, sample):
        return sample.z


class NoDensity(GoodPosterior):
    """Makes latent points."""

    def change(self, sample):
        return dataclasses.replace(sample, noise=None)


class Wobbling(GoodPosterior):
    """Makes latent points."""

    def change(self, sample):
        return dataclasses.replace(sample, mean=sample.z)


class Crowding(GoodPosterior):
    """Makes latent points."""

    def change(self, sample):
        return dataclasses.replace(sample, mean=sample.mean - sample.mean.mean(dim=0))


class Misquoting(GoodPosterior):
    """Makes latent points, and forgets their width in the density."""

    family = "other"

    def change(self, sample):
        log_q = -0.5 * (sample.noise.square() + np.log(2 * np.pi)).sum(dim=1)
        return dataclasses.replace(sample, log_q=log_q, noise=None)


class Sheared(GoodPosterior):
    """Makes latent points whose dimensions hang together, and says that they do not."""

    def change(self, sample):
        def shear(points):
            return points.cumsum(dim=1)

        log_var = sample.log_var.exp().cumsum(dim=1).log()
        return Sample(shear(sample.z), shear(sample.mean), log_var, log_q=sample.log_density)


class IdlePosterior(GoodPosterior):
    """Makes latent points."""

    def change(self, sample):
        return Sample(
            sample.mean + sample.noise, sample.mean, 0 * sample.log_var, noise=sample.noise
        )


class Vector(Term):
    """Adds."""

    name = "wrong"

    def build(self, model):
        return lambda outputs, labels: outputs.z.square().sum(dim=1)


class Constant(Term):
    """Adds."""

    name = "wrong"

    def build(self, model):
        return lambda outputs, labels: torch.tensor(1.0)


class Scribbler(Term):
    """Adds."""

    name = "wrong"

    def build(self, model):
        return lambda outputs, labels: outputs.z.mul_(2).square().mean()


class Critic(nn.Module):
    """A number that follows the latent space by an optimizer of its own."""

    def __init__(self, kept):
        super().__init__()
        self.level = nn.Parameter(torch.zeros(()), requires_grad=False)
        self.optimizer = torch.optim.Adam([self.level], lr=0.1)
        self.kept = kept

    def forward(self, outputs, labels):
        if self.training:
            self.level.grad = self.level - outputs.z.detach().mean()
            self.optimizer.step()
        return (outputs.z.mean() - self.level).square()

    def get_extra_state(self):
        return self.optimizer.state_dict() if self.kept else None

    def set_extra_state(self, state):
        if self.kept:
            self.optimizer.load_state_dict(state)


class KeptOptimizer(Term):
    """Adds."""

    name = "wrong"

    def build(self, model):
        return Critic(kept=True)


class HiddenOptimizer(Term):
    """Adds."""

    name = "wrong"

    def build(self, model):
        return Critic(kept=False)


class Unkept(Callback):
    """Listens."""

    name = "wrong"

    def state(self):
        return {"seen": Path("/")}


class Amnesiac(Callback):
    """Listens."""

    name = "wrong"
    _seen = 0

    def epoch_finished(self, run, metrics, figures):
        self._seen += 1

    def state(self):
        return {"seen": id(self)}


class Forgetting(Callback):
    """Listens."""

    name = "wrong"
    _seen = 0

    def epoch_finished(self, run, metrics, figures):
        self._seen += 1

    def state(self):
        return {"seen": self._seen}


class Satisfied(Callback):
    """Ends the run after its first epoch."""

    name = "wrong"

    def epoch_finished(self, run, metrics, figures):
        run.stop("enough")


class Spacious(KL):
    """Pulls, in five dimensions or more."""

    name = "wrong"

    def build(self, latent_dim, classes):
        if latent_dim < 5:
            raise ValueError("needs five dimensions")
        return lambda mean, log_var, labels: mean.square().sum(1) + log_var.square().sum(1)


class Hungry(Term):
    """Adds."""

    name = "wrong"

    def build(self, model):
        return lambda outputs, labels: outputs.z[labels >= 0].square().mean()


class Fresh(ToyDataset):
    """Loads."""

    name = "wrong"

    def load(self, cache):
        data = super().load(cache)
        noise = np.random.default_rng().integers(0, 9, data.train_images.shape, np.uint8)
        return LabelledImages(
            noise, data.train_labels, data.test_images, data.test_labels, data.classes
        )


class Miscounted(ToyDataset):
    """Loads."""

    name = "wrong"

    def size(self):
        return 7


class GoodFloats(ToyDataset):
    """Loads."""

    name = "wrong"
    white: ClassVar[float] = 255.0

    def load(self, cache):
        data = super().load(cache)
        changed = {
            part: (getattr(data, part) / self.white).astype(self.of(part))
            for part in ("train_images", "test_images")
        }
        return dataclasses.replace(data, **changed)

    def of(self, part):
        return np.float32


class Floating(GoodFloats):
    """Loads what is too fine."""

    def of(self, part):
        return np.float64


class Loud(GoodFloats):
    """Loads what is too bright."""

    white = 1.0


class Motley(GoodFloats):
    """Loads parts that are not alike."""

    def of(self, part):
        return np.float32 if part == "train_images" else np.uint8


class Forgetful(ToyDataset):
    """Loads."""

    name = "wrong"

    def augment(self, images, labels, generator):
        return images + torch.rand(len(images), 1, 1, 1)


class Cropping(ToyDataset):
    """Loads."""

    name = "wrong"

    def augment(self, images, labels, generator):
        return images[..., 1:]


class Brightening(ToyDataset):
    """Loads."""

    name = "wrong"

    def augment(self, images, labels, generator):
        return images + torch.rand(len(images), 1, 1, 1, generator=generator)


class Measured(ToyDataset):
    """Images with numbers, some of which nobody knows."""

    name = "wrong"

    def load(self, cache):
        data = super().load(cache)
        parts = {}
        for part in ("train", "test"):
            numbers = np.linspace(1, 2, len(getattr(data, f"{part}_labels")), dtype=np.float32)
            numbers[::3] = np.nan
            parts[f"{part}_labels"] = numbers[:, None]
        return LabelledImages(
            data.train_images,
            parts["train_labels"],
            data.test_images,
            parts["test_labels"],
            ("amount",),
        )


class Coloured(Dataset):
    """Images in colour, whose shape it does not say beforehand."""

    name = "wrong"

    def load(self, cache):
        images = np.full((20, 3, 8, 8), 100, np.uint8)
        labels = np.arange(20) % 2
        return LabelledImages(images, labels, images, labels, ("one", "two"))

    def augment(self, images, labels, generator):
        tint = torch.rand(len(images), 3, 1, 1, generator=generator)
        return images * tint


class Tupled(Dataset):
    """Loads."""

    name = "wrong"

    def load(self, cache):
        return np.zeros(3), np.zeros(3)


class GoodMetric(Metric):
    """Measures."""

    name = "wrong"

    def measure(self, snapshot):
        return {"spread": float(snapshot.test_means.std())}


class Keepsake(GoodMetric):
    """Measures."""

    def details(self, snapshot):
        return {"thing": object()}


class NotANumber(GoodMetric):
    """Measures."""

    def measure(self, snapshot):
        return {"spread": float("nan")}


class Bare(GoodMetric):
    """Measures."""

    def measure(self, snapshot):
        return 0.5


class Fickle(GoodMetric):
    """Measures."""

    def measure(self, snapshot):
        return {"spread": float(np.random.default_rng().random())}


class Scribbling(GoodMetric):
    """Measures."""

    def measure(self, snapshot):
        snapshot.test_means[:] = 0
        return {"spread": 1.0}


class GlobalDice(GoodMetric):
    """Measures."""

    def measure(self, snapshot):
        torch.rand(1)
        return {"spread": 1.0}


class GoodPlot(Plot):
    """Draws."""

    name = "wrong"

    def draw(self, snapshot):
        from matplotlib.figure import Figure

        return Figure()


class Pyplot(GoodPlot):
    """Draws."""

    def draw(self, snapshot):
        import matplotlib.pyplot as plt

        return plt.figure()


class Restyling(GoodPlot):
    """Draws."""

    def draw(self, snapshot):
        import matplotlib

        matplotlib.rcParams["lines.linewidth"] = 17
        return super().draw(snapshot)


class AxesOnly(GoodPlot):
    """Draws."""

    def draw(self, snapshot):
        return super().draw(snapshot).add_subplot()


class Fragile(Callback):
    """Listens."""

    name = "wrong"

    def epoch_finished(self, run, metrics, figures):
        raise RuntimeError("not my day")


class Lazy(Launcher):
    """Takes one job."""

    name = "wrong"

    def launch(self, jobs):
        run_job(next(jobs))
        yield


class Stubborn(Launcher):
    """Does not let go."""

    name = "wrong"

    def launch(self, jobs):
        for job in jobs:
            run_job(job)
            try:
                yield
            except GeneratorExit:
                yield


@pytest.mark.parametrize(
    ("component", "caught_by", "reason"),
    [
        (NoDocstring, "has_docstring", "has no docstring"),
        (NoSentence, "has_docstring", 'first line is no sentence: "falls"'),
        (Thawed, "is_frozen", "turns frozen off"),
        (Lax, "is_frozen", "lets unknown recipe keys pass"),
        (NoSchema, "has_json_schema", "no JSON schema"),
        (Unpicklable, "can_be_pickled", "no pickles"),
        (Impossible, "can_be_made", "set the class attribute example"),
        (Infinite, "is_finite_on_the_whole_run", "is inf at t = 0"),
        (Raising, "is_finite_on_the_whole_run", "raises at t = "),
        (Tensorial, "is_finite_on_the_whole_run", "gives a Tensor"),
        (Random, "is_deterministic", "and then"),
        (Promising, "keeps_its_word_about_settling", "says that it settles at 50"),
        (Averaging, "gives_one_number_an_image", "shape [] where [5] is due"),
        (BatchDependent, "treats_each_image_by_itself", "depends on the batch"),
        (CrowdDrawing, "treats_each_image_by_itself", "depends on the batch"),
        (Overflowing, "gives_one_number_an_image", "not finite"),
        (Detached, "is_differentiable", "does not depend on mean and log_var"),
        (HalfDetached, "is_differentiable", "no gradient reaches log_var"),
        (FalseDivergence, "is_not_negative_if_a_divergence", "claims to be a divergence"),
        (HalfDivergence, "has_a_prior_if_a_divergence", "a prior that weighs"),
        (LabelHungry, "takes_hidden_labels", "label is -1"),
        (Softmax, "gives_logits_not_probabilities", "a softmax stands at its end"),
        (LogSoftmax, "gives_logits_not_probabilities", "a log-softmax stands at its end"),
        (Sigmoid, "gives_logits_not_probabilities", "a sigmoid or the like"),
        (OneTooMany, "gives_a_number_a_class", "shape [5, 5] where [5, 4] is due"),
        (IdleHead, "trains_every_parameter", "no gradient reaches parameter idle"),
        (OneLoss, "says_how_wrong_each_image_is", "shape [] where [5] is due"),
        (CrowdLoss, "says_how_wrong_each_image_is", "depends on what else is in the batch"),
        (NoModule, "gives_a_number_a_class", "gives function, not an nn.Module"),
        (Unflattened, "gives_features", "where [B, F] is due"),
        (GreyOnly, "gives_features", "3 channels"),
        (BatchNormed, "gives_features", "more than 1 value per channel"),
        (Scribbled, "leaves_the_images_alone", "edits the images in place"),
        (IdleEncoder, "trains_all_its_parameters", "no gradient reaches parameter idle"),
        (Choosy, "gives_features", "takes neither 28x28 grey nor 32x32 colour: needs 64x64"),
        (Activated, "leaves_the_activation_to_the_reconstruction", "a sigmoid or the like"),
        (Flat, "gives_images", "where [5, 1, 28, 28] is due"),
        (Unbounded, "gives_images_in_range", "images leave [0, 1]"),
        (Scalar, "gives_one_loss_an_image", "shape [] where [5] is due"),
        (PixelMean, "sums_over_pixels", "sum over them, do not average"),
        (TwiceTooLikely, "weighs_no_more_than_one", "its bounds would be too high"),
        (IdleReconstruction, "trains_what_it_builds", "no gradient reaches parameter idle"),
        (LabelDeaf, "heeds_its_labels", "gives two labels (-1 is one) the same image"),
        (Hidebound, "heeds_its_labels", "gives two labels (-1 is one) the same image"),
        (Heavy, "has_a_prior_if_a_divergence", "a prior that weighs 2 and"),
        (Heaviest, "is_not_negative_if_a_divergence", "on the whole somewhere"),
        (Mute, "has_a_prior_if_a_divergence", "has no log_prior(z)"),
        (BareTensor, "gives_a_sample", "gives Tensor, not a dvae_core.Sample"),
        (NoDensity, "gives_a_sample", "it has no density"),
        (Wobbling, "has_a_mean_without_noise", "its mean depends on the noise"),
        (Crowding, "treats_an_image_by_itself", "depends on the batch"),
        (Misquoting, "says_its_density", "its density is off by a factor of"),
        (Sheared, "is_of_its_family", "said to be 0"),
        (IdlePosterior, "trains_its_parameters", "no gradient reaches parameter base.to_log_var"),
        (Vector, "gives_a_scalar_that_trains", "shape [5] where a scalar is due"),
        (Scribbler, "gives_a_scalar_that_trains", "edits outputs.z in place"),
        (HiddenOptimizer, "goes_on_where_it_stopped", "an optimizer of its own"),
        (Unkept, "keeps_its_state", "its state"),
        (Amnesiac, "keeps_its_state", "restore does not take back"),
        (Forgetting, "keeps_its_state", "restore does not take back"),
        (HalfPrecise, "gives_a_sample", "gives torch.bfloat16 in a bfloat16 run"),
        (Brightening, "augments_by_the_generator_alone", "leaves [0, 1]"),
        (Keepsake, "gives_details_that_can_be_kept", '"thing" is object'),
        (Constant, "gives_a_scalar_that_trains", "does not depend on the model"),
        (Hungry, "gives_a_scalar_that_trains", "not finite where every label is hidden"),
        (Fresh, "gives_the_same_twice", "train_images differ"),
        (Forgetful, "augments_by_the_generator_alone", "something else than its generator"),
        (Cropping, "augments_by_the_generator_alone", "shape [5, 1"),
        (Miscounted, "gives_labelled_images", "size() says 7 and load gives 150"),
        (Floating, "gives_labelled_images", "train_images must be uint8 or float32"),
        (Loud, "gives_labelled_images", "not floats in [0, 1]"),
        (Motley, "gives_labelled_images", "train images are float32, test images uint8"),
        (Tupled, "gives_labelled_images", "load gives tuple"),
        (NotANumber, "gives_finite_numbers", "spread is nan"),
        (Bare, "gives_finite_numbers", "gives 0.5, not numbers by name"),
        (Fickle, "measures_the_same_twice", "use snapshot.random"),
        (Scribbling, "leaves_the_snapshot_alone", "changes snapshot.test_means"),
        (GlobalDice, "leaves_the_snapshot_alone", "global random generator"),
        (AxesOnly, "gives_a_figure", "not a matplotlib Figure"),
        (Pyplot, "leaves_no_global_state", "leaves a pyplot figure open"),
        (Restyling, "leaves_no_global_state", "changes matplotlib.rcParams: lines.linewidth"),
        (Fragile, "survives_a_run", "not my day"),
        (Lazy, "does_every_job", "was not called for 3 of 4"),
        (Stubborn, "can_be_closed_early", "generator ignored GeneratorExit"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_wrong_component_is_caught_by_name_with_a_reason(component, caught_by, reason):
    found = failures(component)
    assert caught_by in found, found
    assert reason in found[caught_by]
    assert "\n" not in found[caught_by]


def test_a_kl_of_one_sample_and_a_posterior_built_on_the_cores_conform():
    for good in (GoodSampling, GoodDrawing, GoodPosterior):
        assert set(failures(good)) == {"imports_quickly"}  # this file loads torch


def test_what_need_not_be_wrong_is_a_note():
    assert "no docstring below the field start" in notes(BareKey)["keys_have_descriptions"]
    assert "reaches parameter idle by what it" in notes(IdleDecoder)["trains_all_parameters"]
    assert {*failures(BareKey), *failures(IdleDecoder)} == {"imports_quickly"}


def test_what_the_contract_allows_conforms():
    goods = (Spacious, KeptOptimizer, GoodFloats, ZeroStart, Residual, Dropping, Satisfied)
    for good in (*goods, Measured, Coloured):
        assert {*failures(good)} == {"imports_quickly"}, failures(good)


def test_every_check_catches_something():
    marks = test_a_wrong_component_is_caught_by_name_with_a_reason.pytestmark
    caught = {case[1] for mark in marks for case in mark.args[1]}
    every = {name for kind in register.CHECKS.values() for name in kind}
    # These are shown by tests of their own.
    elsewhere = {"imports_quickly", "survives_a_recipe"}
    noted = {"keys_have_descriptions", "trains_all_parameters"}
    assert every - caught == elsewhere | noted


def test_a_component_whose_table_loses_something_is_caught():
    class Forgetful(GoodSchedule):
        """Falls."""

        start: float = 1.0
        """Where it starts."""

        def model_dump(self, **keywords):
            table = super().model_dump(**keywords)
            table.pop("start")
            return table

    assert "makes another component" in failures(Forgetful(start=3.0))["survives_a_recipe"]


def test_a_heavy_import_is_caught(install):
    install("dvae-heavy", "import torch\n" + LIGHT)
    install("dvae-light", LIGHT)
    heavy, light = (
        load_registry().get("schedule", f"{name}:light") for name in ("dvae-heavy", "dvae-light")
    )
    assert "loads torch" in failures(heavy)["imports_quickly"]
    assert failures(light) == {}


LIGHT = """
from dvae_core import Schedule, hookimpl

class Light(Schedule):
    "Weighs nothing."
    name = "light"
    def value(self, t):
        return 0.0

@hookimpl
def register_schedules():
    return [Light]
"""


def test_the_pytest_kit_makes_a_test_of_each_check(pytester_like):
    passed, failed, output = pytester_like(
        """
        from dvae_core.testing import conformance
        from tests_of_mine import Bad, Good
        test_good = conformance(Good)
        test_bad = conformance(Bad)
        """,
        tests_of_mine="""
        from dvae_core import Schedule
        class Good(Schedule):
            "Is good."
            name = "good"
            def value(self, t):
                return 1.0
        class Bad(Good):
            "Is bad."
            def value(self, t):
                return float("nan")
        """,
    )
    each = len(checks.checks_of("schedule"))
    assert (passed, failed) == (2 * each - 2, 2), output
    assert "test_bad[is_finite_on_the_whole_run]" in output
    assert "is nan at t = 0" in output


@pytest.fixture
def pytester_like(tmp_path):
    import re
    import subprocess
    import textwrap

    def run(test, **modules):
        (tmp_path / "test_it.py").write_text(textwrap.dedent(test))
        for name, code in modules.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(code))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        counts = [
            int((re.search(rf"(\d+) {w}", result.stdout) or [0, 0])[1])
            for w in ("passed", "failed")
        ]
        return (*counts, result.stdout)

    return run


def test_conformance_takes_instances_too(blobs):
    assert callable(conformance(NPZ(path=blobs)))
    assert failures(NPZ(path=blobs)) == {}


def test_check_plugin_passes_the_built_in_heads_and_names_a_failure(dvae, install):
    install("dvae-soft", SOFT)
    code, out, _ = dvae("check-plugin", "heads")
    assert code == 0
    assert "head mlp: " in out
    for target in ("dvae-soft", "dvae_soft"):
        code, out, _ = dvae("check-plugin", target)
        assert code == 1
        assert "gives logits not probabilities: gives probabilities: a softmax stands" in out


SOFT = """
from dvae_core import Head, hookimpl

class Soft(Head):
    "Ends in a softmax."
    name = "soft"
    def build(self, latent_dim, classes):
        from torch import nn
        return nn.Sequential(nn.Linear(latent_dim, len(classes)), nn.Softmax(dim=1))

@hookimpl
def register_heads():
    return [Soft]
"""


def test_check_plugin_of_a_module_a_broken_one_and_none(dvae, install, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loose_module.py").write_text(LIGHT)
    assert dvae("check-plugin", "loose_module")[0] == 0
    install("dvae-bad", "raise RuntimeError('nothing works')")
    code, _, err = dvae("check-plugin", "dvae-bad")
    assert code == 1
    assert "broken: RuntimeError: nothing works" in err
    code, _, err = dvae("check-plugin", "no_such_thing")
    assert code == 2
    assert "neither an installed plugin or distribution, nor a module" in err


def test_describe(dvae, install):
    code, out, _ = dvae("describe", "schedule", "sigmoid")
    assert code == 0
    for text in ("1 / (1 + exp(", "midpoint", "number ≥ 0", "required", "plugin schedules",
                 'weight = { schedule = "sigmoid", start = 20.0'):  # fmt: skip
        assert text in out or text.replace("1 / (1 +", "(1 +") in out
    code, _, err = dvae("describe", "schedule", "sigmod")
    assert (code, 'did you mean "sigmoid"?' in err) == (2, True)
    assert dvae("describe", "shedule", "sigmoid")[0] == 2
    install("dvae-mine", LIGHT.replace('"light"', '"sigmoid"'))
    assert dvae("describe", "schedule", "sigmoid")[0] == 2
    assert "Weighs nothing." in dvae("describe", "schedule", "dvae-mine:sigmoid")[1]


@pytest.mark.parametrize(
    "provider", [p for p in BUILT_INS if p.kind == "launcher"], ids=lambda p: p.name
)
def test_the_snippet_of_each_launcher_is_a_working_piece_of_sweep_file(provider, recipe_file):
    from dvae_core.plugin.keys import snippet
    from dvae_core.sweep.sweep_file import load_sweep

    file = recipe_file.with_name("sweep.toml")
    file.write_text(f'recipe = "small.toml"\n{snippet(provider.component)}\n')
    assert type(load_sweep(file, load_registry()).launcher) is provider.component


@pytest.mark.parametrize(
    "provider",
    [p for p in BUILT_INS if p.kind != "launcher"],
    ids=lambda p: f"{p.kind}-{p.name}",
)
def test_the_snippet_of_each_built_in_is_a_working_piece_of_recipe(provider, recipe_file):
    import tomllib

    from dvae_core.plugin.keys import snippet
    from dvae_core.recipe.recipe import build_recipe
    from dvae_core.recipe.source import RecipeSource, read_source

    piece = RecipeSource(tomllib.loads(snippet(provider.component)))
    # A recipe whose KL is a divergence, which some metrics ask for.
    source = read_source(recipe_file, ["kl.name=square"])
    source.merge(piece)
    recipe = build_recipe(source)
    assert provider.component in map(type, recipe.components)
