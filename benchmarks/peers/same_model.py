"""The model, data and optimizer of the torch peers, and the loss written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dvae_core import load_recipe
from dvae_core.model.guided_vae import GuidedVAE, build_model

GUIDANCE = 20.0
"""The weight of the label loss, which has not begun to fall in the first epoch."""


def arrays(job: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, 1, H, W] and labels int64 [N]."""
    with np.load(job["data"]) as file:
        return file["images"], file["labels"]


def model_of(job: dict[str, Any]) -> GuidedVAE:
    """dvae's own."""
    torch.set_num_threads(job["threads"])
    shape = tuple(arrays(job)[0].shape[1:])
    return build_model(load_recipe(job["recipe"], job["set"]), shape, tuple("0123456789"))


def usual_model_of(job: dict[str, Any]) -> GuidedVAE:
    """The same, of torch's own layers only, as one would write it."""
    model = model_of(job)
    if job["model"] == "conv":
        slope = 0.2
        decoder = nn.Sequential(
            nn.Linear(2, 1152),
            nn.LeakyReLU(slope),
            nn.Unflatten(1, (32, 6, 6)),
            nn.ConvTranspose2d(32, 32, 5),
            nn.LeakyReLU(slope),
            nn.Upsample(scale_factor=2),
            nn.ConvTranspose2d(32, 16, 5),
            nn.LeakyReLU(slope),
            nn.ConvTranspose2d(16, 1, 5),
            nn.LeakyReLU(slope),
            nn.Conv2d(1, 1, 1),
        )
        decoder.load_state_dict(model.decoder.state_dict())
        model.decoder = decoder
    return model


def optimizer_of(job: dict[str, Any], model: nn.Module) -> torch.optim.Optimizer:
    keywords = dict(job["optimizer"])
    optimizer: torch.optim.Optimizer = getattr(torch.optim, keywords.pop("name"))(
        model.parameters(), **keywords
    )
    return optimizer


def loss_of(model: GuidedVAE, x: Tensor, y: Tensor) -> Tensor:
    """The original's loss of a batch."""
    features, posterior = model.encoder(x), model.posterior
    mean, log_var = (to(features).float() for to in (posterior.to_mean, posterior.to_log_var))
    z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_var)
    decoded = model.decoder(z).float().sigmoid()
    error = (decoded - x).square().flatten(1).sum(dim=1).mean()
    kl = -0.5 * (1 + log_var - mean.abs() - log_var.exp()).sum(dim=1).mean()
    return error + 0.5 * kl + GUIDANCE * F.cross_entropy(model.head(z).float(), y)


def autocast(job: dict[str, Any]) -> Any:
    return torch.autocast("cpu", torch.bfloat16, enabled=job["precision"] == "bfloat16")


class Items(torch.utils.data.Dataset):
    """An image at a time, as torchvision's MNIST gives them."""

    def __init__(self, job: dict[str, Any]) -> None:
        from torchvision.transforms import ToTensor

        self.images, self.labels = arrays(job)
        self.transform = ToTensor()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index, 0])), int(self.labels[index])


def loader_of(job: dict[str, Any]) -> Any:
    return torch.utils.data.DataLoader(Items(job), job["batch"], shuffle=True)
