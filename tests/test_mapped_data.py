"""Data that is larger than memory: a read-only file that no part of a run copies whole."""

import itertools

import numpy as np
import pytest
import torch

from dvae_core.model.batches import Batches, as_tensor, fits
from dvae_core.recipe.recipe import load_recipe
from dvae_core.training.run import resume_run, run_recipe

from .helpers import same_state, state


def test_batches_share_the_file_and_leave_it_alone(tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, np.ones((40, 1, 5, 5), np.float32))
    images = np.load(path, mmap_mode="r")
    labels = np.zeros(len(images), np.int64)
    batches = Batches(images, labels, batch_size=10, seed=0, device=torch.device("cpu"))
    assert batches.images.data_ptr() == images.ctypes.data == as_tensor(images).data_ptr()
    (batch, *_), *_ = batches.epoch(0)
    batch.zero_()  # a network may; the file cannot be written to
    assert np.load(path).min() == 1


@pytest.fixture
def _too_large(monkeypatch):
    """No image fits on the device."""
    monkeypatch.setattr("dvae_core.model.batches.fits", lambda images, device: False)


def batches_of(images, **more):
    labels = np.arange(len(images))
    return Batches(images, labels, batch_size=10, seed=0, device=torch.device("cpu"), **more)


@pytest.mark.usefixtures("_too_large")
@pytest.mark.parametrize("skip", [0, 3, 4, 5])
def test_batches_that_are_fetched_ahead_are_the_same(monkeypatch, skip):
    images = np.random.default_rng(0).integers(0, 256, (43, 1, 5, 5)).astype(np.uint8)
    targets = np.random.default_rng(1).normal(size=(43, 2)).astype(np.float32)
    fetched = list(batches_of(images, targets=targets).epoch(2, skip))
    monkeypatch.undo()
    held = list(batches_of(images, targets=targets).epoch(2, skip))
    assert len(fetched) == len(held) == 5 - skip
    for one, other in zip(fetched, held, strict=True):
        assert all(map(torch.equal, one, other))


@pytest.mark.usefixtures("_too_large")
def test_one_batch_is_fetched_ahead_and_no_more(monkeypatch):
    batches = batches_of(np.zeros((40, 1, 2, 2), np.uint8))
    asked, real = [], batches.batch
    monkeypatch.setattr(batches, "batch", lambda chosen: asked.append(chosen) or real(chosen))
    epoch = batches.epoch(0)
    for taken in range(1, 4):
        next(epoch)
        assert len(asked) <= taken + 1
    epoch.close()  # a run that is stopped in the middle
    assert len(asked) == 4
    order = list(itertools.chain.from_iterable(chosen.tolist() for chosen in asked))
    assert order == batches.order(0).tolist()


@pytest.mark.usefixtures("_too_large")
def test_a_failure_to_fetch_ends_the_epoch(monkeypatch):
    batches = batches_of(np.zeros((40, 1, 2, 2), np.uint8))

    def fails(chosen):
        raise OSError("the disk is gone")

    monkeypatch.setattr(batches, "batch", fails)
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches.epoch(0))


def test_a_run_whose_images_do_not_fit_is_the_same_run(recipe_file, tmp_path, monkeypatch):
    whole = run_recipe(load_recipe(recipe_file), tmp_path)
    monkeypatch.setattr("dvae_core.model.batches.fits", lambda images, device: False)
    half = run_recipe(load_recipe(whole.recipe_file, ["train.epochs=2"]), tmp_path)
    again = resume_run(half.path, load_recipe(half.recipe_file, ["train.epochs=4"]))
    assert same_state(state(whole)["model"], state(again)["model"])


def test_images_fit_in_half_of_the_free_memory_of_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (200, 1000))
    gpu = torch.device("cuda")
    assert fits(np.zeros(100, np.uint8), gpu)
    assert not fits(np.zeros(101, np.uint8), gpu)
    assert fits(np.zeros(101, np.uint8), torch.device("cpu"))
