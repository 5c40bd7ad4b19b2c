"""The conformance checks, and what only this package can know."""

from dvae_core.testing import conformance

from dvae_staircase import Staircase, Staircases

test_schedule = conformance(Staircase)
test_dataset = conformance(Staircases)


def test_the_weight_falls_in_equal_steps():
    staircase = Staircase(start=9, end=0, steps=4, length=300)
    assert [staircase.value(t) for t in (0, 99, 100, 200, 299, 300, 9999)] == [9, 9, 6, 3, 3, 0, 0]


def test_more_steps_leave_more_edges(tmp_path):
    data = Staircases(count=40).load(tmp_path)
    tops = (data.train_images[:, 0] > 0).sum(axis=1)
    heights = [len(set(row[row > 0])) for row in tops]
    assert all(h == 2 + label for h, label in zip(heights, data.train_labels, strict=True))
