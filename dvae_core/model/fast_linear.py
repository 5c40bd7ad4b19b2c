"""Linear maps through oneDNN, on processors where torch's own way leaves half of the speed unused.

On a processor torch takes float32 matrix products from MKL, and MKL keeps to AVX2 on processors
that are not Intel's. oneDNN, which is in every build of torch for the convolutions, uses AVX-512.
"""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

WORTH_IT = 2**15
"""Weights from which on a map gains: below, calling oneDNN costs more than it saves."""


def speed_up_linears(model: nn.Module) -> None:
    """Let the large linear maps of a model compute through oneDNN where that is the faster way.

    The same float32 arithmetic in another order: results differ in the last bits, and are the same
    ones each time on one machine. Parameters, hooks and names stay as they are.
    """
    if not onednn_is_faster():
        return
    for module in model.modules():
        if type(module) is nn.Linear and module.weight.numel() >= WORTH_IT:
            module.__class__ = OneDNNLinear


@cache
def onednn_is_faster() -> bool:
    """Whether this is such a processor, and such a build of torch."""
    return (
        torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        and _vendor() == "AuthenticAMD"
        and torch.backends.mkl.is_available()
        and onednn_is_there()
    )


def onednn_is_there() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class OneDNNLinear(nn.Linear):
    """`nn.Linear`, through oneDNN for float32 on the processor."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        plain = (
            input.dtype != torch.float32
            or input.device.type != "cpu"
            or input.numel() == 0
            or torch.is_autocast_enabled("cpu")
            or torch.compiler.is_compiling()
            or torch._C._are_functorch_transforms_active()
        )
        if plain:
            return super().forward(input)
        rows = input if input.dim() == 2 else input.reshape(-1, self.in_features)
        out: Tensor = _Linear.apply(rows, self.weight, self.bias)
        # A view would cost what works in place on it, such as an activation, a copy.
        return out if input.dim() == 2 else out.view(*input.shape[:-1], self.out_features)


class _Linear(torch.autograd.Function):
    """x Wᵀ + b for x [P, I], W [O, I] and b [O] or None, all float32."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        # A gradient that shall have a gradient itself is made of what torch can differentiate.
        product = _plain_product if torch.is_grad_enabled() else _product
        wanted = ctx.needs_input_grad
        return (
            product(gradient, weight.t()) if wanted[0] else None,
            product(gradient.t(), x.t()) if wanted[1] else None,
            gradient.sum(dim=0) if wanted[2] else None,
        )


def _product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")
    return out


def _plain_product(a: Tensor, b: Tensor) -> Tensor:
    return a @ b.t()


def _vendor() -> str:
    """Who made the processor, as it says itself; empty where nobody says."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return next((v for v in ("AuthenticAMD", "GenuineIntel") if v in platform.processor()), "")
    found = (line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id"))
    return next(found, "")
