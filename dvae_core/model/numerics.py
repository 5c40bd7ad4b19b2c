"""How a GPU computes while a run trains or is looked at."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def numerics(precision: str, *, deterministic: bool = False) -> Iterator[None]:
    """Set what torch leaves to the process, and put it back: TF32, cuDNN's ways, determinism.

    By itself torch rounds what goes into a convolution on a GPU to the ten bits of TF32, and calls
    that float32. Here only the precision "tf32" does, for matrix products too. cuDNN never times
    its ways to choose one: which it takes, and so the bits, would hang on the timing.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic)
    strict = torch.get_deterministic_debug_mode()
    cudnn.allow_tf32 = matmul.allow_tf32 = precision == "tf32"
    cudnn.benchmark = False
    if deterministic:
        # cuBLAS reads it when it is first used; https://docs.nvidia.com/cuda/cublas, "Results
        # reproducibility".
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        cudnn.deterministic = True
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic = before
        torch.set_deterministic_debug_mode(strict)
