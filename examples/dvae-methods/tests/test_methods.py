"""The conformance checks of every component."""

from dvae_core.testing import conformance

from dvae_methods.acai import Interpolations
from dvae_methods.centre_loss import CentreLoss
from dvae_methods.factor_vae import TotalCorrelation
from dvae_methods.hierarchical import HierarchicalKL
from dvae_methods.iwae import ImportanceWeighted
from dvae_methods.vq import Commitment, VectorQuantised

test_acai = conformance(Interpolations)
test_centre_loss = conformance(CentreLoss)
test_factor_vae = conformance(TotalCorrelation)
test_hierarchical = conformance(HierarchicalKL)
test_iwae = conformance(ImportanceWeighted)
test_vq = conformance(VectorQuantised)
test_commitment = conformance(Commitment)
