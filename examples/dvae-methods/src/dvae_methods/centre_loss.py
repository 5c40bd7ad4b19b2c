"""The centre loss: each class has a learned centre, which draws its images.

Wen et al., "A Discriminative Feature Learning Approach for Deep Face Recognition" (ECCV 2016).
"""

from dvae_core import Term


class CentreLoss(Term):
    """Half the squared distance from the mean to its class's centre, over images with a label."""

    name = "centre"

    def build(self, model):
        import torch
        from torch import nn

        class Centres(nn.Module):
            def __init__(self, classes, dim):
                super().__init__()
                self.centres = nn.Parameter(torch.randn(classes, dim))

            def forward(self, outputs, labels):
                known = labels >= 0
                centres = self.centres[labels.clamp(min=0)]
                apart = (outputs.mean - centres).square().sum(dim=1)
                return 0.5 * (apart * known).sum() / known.sum().clamp(min=1)

        return Centres(len(model.classes), model.latent_dim)
