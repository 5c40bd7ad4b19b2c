import math

import pytest
from dvae_plugins.schedules import Constant, CosineDecay, Cyclical, Linear, Piecewise, Sigmoid
from pydantic import ValidationError

from dvae_core.recipe.timeline import Timeline


def test_sigmoid_is_the_original_formula():
    schedule = Sigmoid(start=20, end=0.01, midpoint=4000, slope=0.1)
    for t in (0, 3900, 3990, 4000, 4010, 4100, 9380):
        original = 20 + (0.01 - 20) / (1 + math.exp(min(-0.1 * (t - 4000), 700)))
        assert schedule.value(t) == pytest.approx(original, abs=1e-12)
    assert schedule.value(1e9) == pytest.approx(0.01)
    assert schedule.value(schedule.settles_at()) == pytest.approx(20 - 0.99 * 19.99)


def test_cosine_decay_is_the_original_formula():
    schedule = CosineDecay(high=10, low=3, halfperiod=3000, decay=0.7, troughs=2)
    assert schedule.value(0) == 13
    assert schedule.value(3000) == pytest.approx(3)
    assert schedule.value(5600) == pytest.approx(5.6, abs=0.1)
    for t in (1, 1500, 4321, 8999):
        original = (math.cos(math.pi * t / 3000) + 1) * 5 * (1 + 0.7 / 3000) ** -t + 3
        assert schedule.value(t) == pytest.approx(original)
    assert schedule.value(9000) == pytest.approx(3)
    assert schedule.value(9500) == 3
    assert schedule.settles_at() == 9000


def test_linear():
    schedule = Linear(start=1, end=3, length=10)
    assert [schedule.value(t) for t in (0, 5, 10, 99)] == [1, 2, 3, 3]


def test_piecewise():
    schedule = Piecewise(points=[(2, 1.0), (4, 3.0), (5, 0.0)])
    assert [schedule.value(t) for t in (0, 2, 3, 4, 4.5, 5, 9)] == [1, 1, 2, 3, 1.5, 0, 0]
    assert schedule.settles_at() == 5
    with pytest.raises(ValidationError, match="must grow"):
        Piecewise(points=[(2, 1.0), (2, 3.0)])


def test_cyclical():
    schedule = Cyclical(start=0, end=2, period=10, cycles=2, rising=0.5)
    assert [schedule.value(t) for t in (0, 2.5, 5, 9, 10, 12.5, 15, 19, 20, 25)] == [
        0, 1, 2, 2, 0, 1, 2, 2, 2, 2,
    ]  # fmt: skip
    assert schedule.settles_at() == 15


@pytest.mark.parametrize(
    "schedule",
    [
        Sigmoid(start=1, end=0, midpoint=50, slope=1),
        CosineDecay(high=1, halfperiod=20, troughs=2),
        Linear(start=1, end=0, length=60),
        Piecewise(points=[(0, 1.0), (60, 0.0)]),
        Cyclical(period=25, cycles=3),
    ],
)
def test_settled_means_within_a_hundredth_for_good(schedule):
    settles = schedule.settles_at()
    final = schedule.value(1e6)
    assert all(abs(schedule.value(settles + t) - final) <= 0.0101 for t in range(200))
    assert abs(schedule.value(settles * 0.9) - final) > 0.005


def test_time_in_each_unit():
    timeline = Timeline(steps_per_epoch=10, epochs=5)
    values = {
        unit: [timeline.value(Linear(start=0, end=1, length=n, unit=unit), s) for s in (0, 25, 49)]
        for unit, n in (("step", 49), ("epoch", 4.9), ("run", 1.0))
    }
    assert values["step"] == pytest.approx([0, 25 / 49, 1])
    assert values["epoch"] == pytest.approx([0, 25 / 49, 1])
    assert values["run"] == pytest.approx([0, 25 / 49, 1])


def test_unsettled_in_each_unit():
    timeline = Timeline(steps_per_epoch=10, epochs=5)
    assert timeline.unsettled(Linear(start=1, end=0, length=50)) is None
    assert "settles at 51 steps and the run has 50" in timeline.unsettled(
        Linear(start=1, end=0, length=51)
    )
    assert timeline.unsettled(Linear(start=1, end=0, length=5, unit="epoch")) is None
    assert timeline.unsettled(Linear(start=1, end=0, length=6, unit="epoch"))
    assert timeline.unsettled(Linear(start=1, end=0, length=1, unit="run")) is None
    assert timeline.unsettled(Linear(start=1, end=0, length=6, allow_unfinished=True)) is None
    assert timeline.unsettled(3.0) is None


def test_a_weight_that_is_not_finite_is_named():
    from dvae_core.errors import DvaeError

    with pytest.raises(DvaeError, match='schedule "constant" gave inf'):
        Timeline(1, 1).value(Constant.model_construct(weight=math.inf), 0)
