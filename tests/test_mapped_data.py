"""Data that is larger than memory: a read-only file that no part of a run copies whole."""

import numpy as np
import torch

from dvae_core.model.batches import Batches, as_tensor


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
