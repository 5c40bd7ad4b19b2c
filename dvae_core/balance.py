"""What the terms of the loss mean together: whether they bound the likelihood."""

from __future__ import annotations

from dvae_core.components import KL, Reconstruction


def no_bound(reconstruction: Reconstruction, kl: KL) -> str | None:
    """Why a reconstruction and a KL give no bound on log p(image); None where they give one."""
    if not kl.divergence:
        return f'kl "{kl.name}" is no divergence'
    if reconstruction.log_constant(1) is None:
        return f'reconstruction "{reconstruction.name}" is no log-likelihood'
    return None
