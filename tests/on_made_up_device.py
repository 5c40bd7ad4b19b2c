"""Steps on a device made in Python: what `test_devices.py` runs in a process of its own.

torch learns of such a device only before the first gradient of a process.
"""

from contextlib import nullcontext, suppress

import pytest
from torch._subclasses.fake_tensor import DataDependentOutputException

from dvae_core.model.data import load_data
from dvae_core.recipe.recipe import load_recipe
from dvae_core.training.ranks.ranks import ALONE
from dvae_core.training.ranks.shared_loss import SharedLoss
from dvae_core.training.state import Training
from dvae_core.training.steps import steps_of

from .helpers import SHIPPED, short_recipe

FEW = ["dataset.train_limit=500", "dataset.test_limit=100", "callbacks=[]"]

pytestmark = pytest.mark.usefixtures("fashion")


@pytest.fixture(scope="module")
def device():
    made_up = pytest.importorskip("benchmarks.made_up_device")
    try:
        return made_up.made_up_device()
    except ImportError:
        pytest.skip("this torch has no backends in Python")


@pytest.fixture
def on_device(device, monkeypatch):
    monkeypatch.setattr("dvae_core.training.state.device_of", lambda name: device)
    return device


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_step_of_every_recipe_stays_on_its_device(on_device, path):
    from benchmarks.made_up_device import imagined

    planned = getattr(load_recipe(path).kl.component, "means", "") == "planned"
    # A plan is made of numbers, before there is any step.
    changes = ['kl.means="ring"'] * planned
    # A backend in Python has no random numbers of its own, which drawn images need.
    changes += ['dataset.name="mnist"'] * (path.stem == "mnist_likelihood")
    recipe = short_recipe(path, *FEW, *changes)
    # A backend in Python has no automatic precision.
    recipe = recipe.model_copy(
        update={"train": recipe.train.model_copy(update={"precision": "float32"})}
    )
    data = load_data(recipe.dataset)
    with imagined() as counted:
        training = Training(recipe, data)
        assert {p.device for p in training.parameters} == {on_device}
        steps = steps_of(training).take()
        for _ in range(2):
            next(steps)
        counted.waits.clear()
        next(steps)
        assert not counted.waits
        assert training.ledger.rows.device == on_device
        assert {p.grad.device for p in training.parameters if p.grad is not None} == {on_device}
        with suppress(DataDependentOutputException):  # there are no numbers
            training.ledger.read(training.finite())
        assert sum(counted.waits.values()) == 1
        # DistributedDataParallel refuses two kinds of devices.
        own = training.model, training.objective, ALONE, training.gradients.autocast, nullcontext
        assert {p.device for p in SharedLoss(*own).parameters()} == {on_device}
