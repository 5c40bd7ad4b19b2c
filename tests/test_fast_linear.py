"""Linear maps through oneDNN: the plain map's results, by another road."""

import pytest
import torch
from torch import nn

from dvae_core.model import fast_linear
from dvae_core.model.fast_linear import OneDNNLinear, speed_up_linears

pytestmark = pytest.mark.skipif(not fast_linear.onednn_is_there(), reason="torch lacks oneDNN here")


def linear_and_its_double(bias=True):
    """Float32 through oneDNN, and the same map in float64 by torch."""
    torch.manual_seed(0)
    linear = nn.Linear(300, 200, bias=bias)
    double = nn.Linear(300, 200, bias=bias, dtype=torch.float64)
    double.load_state_dict(linear.state_dict())
    linear.__class__ = OneDNNLinear
    return linear, double


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(64,), (1,), (3, 5), ()])
def test_results_and_gradients_are_the_plain_maps(shape, bias):
    linear, double = linear_and_its_double(bias)
    x = torch.randn(*shape, 300, requires_grad=True)
    x2 = x.detach().double().requires_grad_()
    y, y2 = linear(x), double(x2)
    assert y.shape == y2.shape
    upstream = torch.randn_like(y)
    y.backward(upstream)
    y2.backward(upstream.double())
    pairs = [(y, y2), (x.grad, x2.grad), (linear.weight.grad, double.weight.grad)]
    pairs += [(linear.bias.grad, double.bias.grad)] if bias else []
    for ours, exact in pairs:
        torch.testing.assert_close(ours.double(), exact, rtol=1e-5, atol=1e-5)


def test_rows_that_lie_apart_in_memory():
    linear, double = linear_and_its_double()
    x = torch.randn(300, 64).t()[::2]
    torch.testing.assert_close(linear(x).double(), double(x.double()), rtol=1e-5, atol=1e-5)
    expanded = torch.randn(1, 300).expand(8, 300)
    assert torch.equal(linear(expanded)[0], linear(expanded)[7])
    assert linear(torch.empty(0, 300)).shape == (0, 200)


def test_a_gradient_has_a_gradient():
    """As a penalty on gradients needs it."""
    linear, double = linear_and_its_double()
    found = []
    for module, dtype in ((linear, torch.float32), (double, torch.float64)):
        torch.manual_seed(1)
        x = torch.randn(16, 300).to(dtype).requires_grad_()
        y = module(x).square().sum()
        (slope,) = torch.autograd.grad(y, x, create_graph=True)
        slope.square().sum().backward()
        found.append(module.weight.grad.double())
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-2)


def test_what_it_cannot_do_goes_the_plain_way():
    linear, _ = linear_and_its_double()
    x = torch.randn(4, 300)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert linear(x).dtype == torch.bfloat16
    jacobian = torch.func.jacrev(linear)(x[0])
    torch.testing.assert_close(jacobian, linear.weight, rtol=1e-5, atol=1e-5)
    each = torch.func.vmap(linear)(x)
    torch.testing.assert_close(each, linear(x), rtol=1e-5, atol=1e-5)


def test_large_maps_are_taken_and_nothing_else_changes(monkeypatch):
    class OfTheirOwn(nn.Linear):
        pass

    def model():
        return nn.Sequential(nn.Linear(256, 256), nn.Linear(256, 2), OfTheirOwn(256, 256))

    monkeypatch.setattr(fast_linear, "onednn_is_faster", lambda: False)
    plain = model()
    speed_up_linears(plain)
    assert [type(m) for m in plain] == [nn.Linear, nn.Linear, OfTheirOwn]
    monkeypatch.setattr(fast_linear, "onednn_is_faster", lambda: True)
    fast = model()
    weights = list(fast.parameters())
    speed_up_linears(fast)
    assert [type(m) for m in fast] == [OneDNNLinear, nn.Linear, OfTheirOwn]
    assert all(a is b for a, b in zip(fast.parameters(), weights, strict=True))
    assert list(fast.state_dict()) == list(plain.state_dict())


def test_it_is_for_processors_that_mkl_holds_back(monkeypatch):
    for vendor, capability, expected in (
        ("AuthenticAMD", "AVX512", True),
        ("AuthenticAMD", "AVX2", False),
        ("GenuineIntel", "AVX512", False),
        ("", "AVX512", False),
    ):
        monkeypatch.setattr(fast_linear, "_vendor", lambda vendor=vendor: vendor)
        monkeypatch.setattr(
            torch.backends.cpu, "get_cpu_capability", lambda capability=capability: capability
        )
        monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
        fast_linear.onednn_is_faster.cache_clear()
        assert fast_linear.onednn_is_faster() is expected, (vendor, capability)
    fast_linear.onednn_is_faster.cache_clear()
