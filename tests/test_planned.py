"""Steps whose data waits on the device, and how they become one graph."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from dvae_core import Term, load_recipe
from dvae_core.model.data import load_data
from dvae_core.testing.toys import toy_recipe, toy_registry
from dvae_core.training import steps as steps_module
from dvae_core.training.captured import (
    Uncapturable,
    check_modules,
    check_optimizer,
    kept_by_modules,
    put_back,
    who,
)
from dvae_core.training.noise import Noise
from dvae_core.training.state import Training
from dvae_core.training.steps import PlannedSteps, steps_of

from .helpers import RECIPES, same_state, short_recipe

SMALL = ["dataset.test_limit=100", "train.batch_size=16", "train.device=cpu", "callbacks=[]"]


def training_of(name):
    """Six whole batches an epoch, and one of four images."""
    recipe = short_recipe(RECIPES / f"{name}.toml", *SMALL, "dataset.train_limit=100")
    return Training(recipe, load_data(recipe.dataset))


@pytest.mark.parametrize("name", ["mnist_abs", "mnist_mlp", "mnist_borders"])
def test_steps_that_take_nothing_from_the_host_have_the_same_bits(name):
    usual = training_of(name)
    for _ in range(2):
        for batch in usual.batches.epoch(usual.epoch):
            usual.take_step(*batch)
        usual.ledger.read()
        usual.finish_epoch()
    other = training_of(name)
    steps = PlannedSteps(other)
    taken = 0
    for _ in range(2):
        steps.plan()
        for _ in range(steps.whole):
            steps.step()
            steps._done()
            taken += 1
        steps._done(steps.step_by_host())
        other.ledger.read()
        other.finish_epoch()
    assert taken == 12
    assert same_state(usual.state_dict(), other.state_dict())
    assert usual.means == other.means


def test_an_epoch_goes_on_in_the_middle(recipe_file):
    def fresh():
        recipe = load_recipe(recipe_file, ["train.labels_until=0.1"])
        return Training(recipe, load_data(recipe.dataset))

    whole, first = fresh(), fresh()
    whole.captures = first.captures = False
    for training, count in ((whole, 5), (first, 2)):
        steps = PlannedSteps(training).take(pytest.fail)
        for _ in range(count):
            next(steps)
    second = fresh()
    assert second.load_state_dict(first.state_dict()) == []
    steps = PlannedSteps(second).take(pytest.fail)
    for _ in range(3):
        next(steps)
    for training in (whole, first, second):
        training.ledger.read()
    # The first one's part of the epoch's means went with the state only where it had been read.
    a, b = whole.state_dict(), second.state_dict()
    del a["ledger"], b["ledger"]
    assert same_state(a, b)


def test_noise_ahead_is_the_noise_that_is_drawn():
    one, other = Noise(3, 2), Noise(3, 2)
    ahead = one.ahead([40, 40, 7])
    assert torch.equal(ahead, torch.cat([other.draw(40), other.draw(40), other.draw(7)]))
    one.skip(40)
    again = Noise(3, 2)
    again.draw(40)
    assert torch.equal(one.get_state(), again.get_state())
    assert torch.equal(one.draw(40), ahead[40:80])


def graph(training, monkeypatch, captured):
    """The steps of an epoch where a machine has graphs, and what they warn of."""
    monkeypatch.setattr(steps_module, "captured", captured)
    training.captures = True
    said = []
    for _ in PlannedSteps(training).take(said.append):
        pass
    return said


def test_whole_batches_are_one_graph_and_the_rest_is_taken_by_the_host(recipe_file, monkeypatch):
    recipe = load_recipe(recipe_file, ["train.batch_size=50"])  # 192 images: 3 whole batches
    data = load_data(recipe.dataset)
    replayed = []

    def captured(step, training, *written):
        def replay():
            replayed.append(training.epoch_step)
            step()

        return replay

    training = Training(recipe, data)
    assert graph(training, monkeypatch, captured) == []
    assert replayed == [1, 2]
    usual = Training(recipe, data)
    for _ in steps_of(usual).take():
        pass
    for one in (training, usual):
        one.ledger.read()
    assert same_state(training.state_dict(), usual.state_dict())

    replayed.clear()
    hooked = Training(recipe, data)
    hooked.model.encoder.register_forward_hook(lambda *_: None)
    assert graph(hooked, monkeypatch, captured) == []
    assert replayed == []


def test_who_waits_for_the_host_is_named_once(recipe_file, monkeypatch):
    recipe = load_recipe(recipe_file)
    training = Training(recipe, load_data(recipe.dataset))

    def captured(step, training, *written):
        raise Uncapturable("waits.py:7 in forward: no")

    (said,) = graph(training, monkeypatch, captured)
    assert said.endswith("takes longer: waits.py:7 in forward: no")
    assert training.epoch_step == training.timeline.steps_per_epoch


def test_the_innermost_code_that_is_not_torchs_is_named(tmp_path):
    file = tmp_path / "dvae_waiting.py"
    file.write_text("import torch\n\n\ndef forward(x):\n    return torch.reshape(x, (7,))\n")
    space: dict = {}
    exec(compile(file.read_text(), str(file), "exec"), space)
    with pytest.raises(RuntimeError) as caught:
        space["forward"](torch.zeros(2))
    assert who(caught.value).startswith("dvae_waiting.py:5 in forward: shape '[7]' is invalid")


class Critical(Term):
    """Has an optimizer of its own."""

    name = "critical"

    def build(self, model):
        return Critic()


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.level = nn.Parameter(torch.zeros(()), requires_grad=False)
        self.optimizer = torch.optim.Adam([self.level])

    def forward(self, outputs, labels):
        self.level.grad = self.level - outputs.z.detach().mean()
        self.optimizer.step()
        return (outputs.z.mean() - self.level).square()

    def get_extra_state(self):
        return self.optimizer.state_dict()

    def set_extra_state(self, state):
        self.optimizer.load_state_dict(state)


def test_a_warm_up_leaves_no_trace():
    recipe = toy_recipe(toy_registry(Critical), terms=[{"name": "critical"}])
    training = Training(recipe, load_data(recipe.dataset))
    steps = PlannedSteps(training)
    steps.plan()
    steps._done(steps.step_by_host())
    before = copy.deepcopy(training.state_dict())
    rows, at = training.ledger.rows.clone(), steps.at.clone()
    places = [p.data_ptr() for p in training.parameters]
    with put_back(training, (steps.at, training.ledger.rows)):
        steps.step()
        torch.rand(1)
        np.random.random()
        assert not torch.equal(training.ledger.rows, rows)
        assert not torch.equal(steps.at, at)
    assert same_state(before, training.state_dict())
    assert torch.equal(training.ledger.rows, rows)
    assert torch.equal(steps.at, at)
    assert places == [p.data_ptr() for p in training.parameters]


class Frozen(Term):
    """Keeps what a graph would never change again: a buffer that is assigned, or a number."""

    name = "frozen"
    in_python: bool = False

    def build(self, model):
        return Freezing(self.in_python)


class Freezing(nn.Module):
    def __init__(self, in_python):
        super().__init__()
        self.in_python, self.calls = in_python, 0
        self.register_buffer("level", torch.zeros(()))

    def forward(self, outputs, labels):
        level = outputs.z.detach().mean()
        if self.in_python:
            self.calls += 1
            self.level.copy_(level)
        else:
            self.level = level
        return (outputs.z.mean() - self.level).square()

    def get_extra_state(self):
        return {"calls": self.calls}

    def set_extra_state(self, state):
        self.calls = state["calls"]


@pytest.mark.parametrize(
    ("in_python", "said"),
    [
        (False, "Freezing assigns its buffer level in place of writing into it"),
        (True, "Freezing counts in Python in place of in a buffer"),
    ],
)
def test_what_a_graph_would_freeze_is_no_part_of_one(in_python, said):
    recipe = toy_recipe(toy_registry(Frozen), terms=[{"name": "frozen", "in_python": in_python}])
    training = Training(recipe, load_data(recipe.dataset))
    steps = PlannedSteps(training)
    steps.plan()
    steps._done(steps.step_by_host())
    state = copy.deepcopy(training.state_dict())
    before = kept_by_modules(training)
    check_modules(training, before)  # nothing has happened
    buffer = training.objective.extra[0].level
    with put_back(training, (steps.at, training.ledger.rows)):
        steps.step()
        with pytest.raises(Uncapturable, match=said):
            check_modules(training, before)
    assert training.objective.extra[0].level is buffer
    assert same_state(state, training.state_dict())


def test_a_graph_is_made_again_where_a_buffer_is_another(recipe_file, monkeypatch):
    recipe = load_recipe(recipe_file, ["train.batch_size=50"])
    training = Training(recipe, load_data(recipe.dataset))
    training.objective.register_buffer("seen", torch.zeros(1))
    made = []

    def captured(step, training, *written):
        made.append(training.epoch)
        return step

    monkeypatch.setattr(steps_module, "captured", captured)
    training.captures = True
    steps = PlannedSteps(training)
    for epoch in range(4):
        list(steps.take())
        training.ledger.read()
        training.finish_epoch()
        if epoch == 1:
            training.objective.seen = torch.ones(1)  # as a term's `measured` may do
    assert made == [0, 2]


def test_an_optimizer_that_counts_on_the_processor_is_no_part_of_a_graph(recipe_file):
    recipe = load_recipe(recipe_file)
    training = Training(recipe, load_data(recipe.dataset))
    for _ in steps_of(training).take():
        break
    check_optimizer(training)  # all of it is where the parameters are
    state = training.optimizer.state[training.parameters[0]]
    state["step"] = 1
    with pytest.raises(Uncapturable, match="Adam keeps its step on the processor"):
        check_optimizer(training)
