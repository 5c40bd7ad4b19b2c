"""A step as one CUDA graph, which the GPU takes without the host."""

from __future__ import annotations

import contextlib
import copy
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from dvae_core.errors import DvaeError
from dvae_core.randomness import global_state, set_global_state
from dvae_core.training.state import Training

WARM_UP = 3
"""Steps before the capture, in which torch and its libraries get ready what they need once."""


class Uncapturable(Exception):
    """The step cannot be captured; says in one line who keeps it from that."""


def captured(
    step: Callable[[], None], training: Training, counter: Tensor, written: Sequence[Tensor] = ()
) -> Callable[[], None]:
    """What takes a step as one graph. Nothing has changed when this returns.

    https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs

    Args:
        step: takes nothing from the host.
        counter: what a step counts on; it is not to count too far.
        written: what else a step changes, beside the model, what its parts keep as extra state,
            the optimizer and the random state.

    Raises:
        Uncapturable: something in the step waits for the host.
    """
    graph = torch.cuda.CUDAGraph()
    on_its_own = partial(torch.cuda.device, training.device)  # there may be several GPUs
    try:
        with on_its_own(), put_back(training, (counter, *written)):
            check_optimizer(training)
            before = kept_by_modules(training)
            start = counter.clone()
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for number in range(WARM_UP):
                    counter.copy_(start)
                    with _no_waiting() if number else contextlib.nullcontext():
                        step()
            torch.cuda.current_stream().wait_stream(side)
            check_modules(training, before)
        training.optimizer.zero_grad()
        with on_its_own(), _all_captured(), torch.cuda.graph(graph, stream=side):
            step()
    except DvaeError:
        raise
    except (RuntimeError, Uncapturable, UserWarning) as error:
        training.optimizer.zero_grad()
        raise Uncapturable(who(error)) from error

    def replay() -> None:
        with on_its_own():
            graph.replay()

    return replay


@contextlib.contextmanager
def put_back(training: Training, written: Sequence[Tensor]) -> Iterator[None]:
    """Let steps be taken, and leave no trace of them."""
    of_optimizer = [v for state in training.optimizer.state.values() for v in state.values()]
    modules = _modules(training)
    buffers = [(m, name, b) for m in modules for name, b in m._buffers.items() if b is not None]
    everything = [
        *training.parameters,
        *(buffer for _, _, buffer in buffers),
        *(value for value in of_optimizer if isinstance(value, Tensor)),
        *written,
    ]
    before = [tensor.detach().clone() for tensor in everything]
    own = [module for module in modules if _keeps_more(module)]
    extra = [copy.deepcopy(module.get_extra_state()) for module in own]
    random = global_state(training.device)
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, kept in zip(everything, before, strict=True):
                tensor.copy_(kept)
        for module, name, buffer in buffers:
            module._buffers[name] = buffer
        for module, state in zip(own, extra, strict=True):
            module.set_extra_state(state)
        set_global_state(random, training.device)


def _modules(training: Training) -> list[nn.Module]:
    return list(dict.fromkeys([*training.model.modules(), *training.objective.modules()]))


def _keeps_more(module: nn.Module) -> bool:
    """Whether a module has extra state."""
    return type(module).get_extra_state is not nn.Module.get_extra_state


Kept = tuple[nn.Module, dict[str, Tensor | None], list[Any]]


def kept_by_modules(training: Training) -> list[Kept]:
    """Each module's buffers, and the plain values in what it keeps as extra state."""
    plain = (int, float, str, bytes)
    found = []
    for module in _modules(training):
        leaves = pytree.tree_leaves(module.get_extra_state()) if _keeps_more(module) else []
        values = [leaf for leaf in leaves if isinstance(leaf, plain)]
        found.append((module, dict(module._buffers), values))
    return found


def check_modules(training: Training, before: list[Kept]) -> None:
    """Raise Uncapturable where a step changed in Python what a graph would never change again."""
    for (module, buffers, values), (_, now, new) in zip(
        before, kept_by_modules(training), strict=True
    ):
        kind = type(module).__name__
        for name, buffer in now.items():
            if buffers.get(name) is not buffer:
                raise Uncapturable(f"{kind} assigns its buffer {name} in place of writing into it")
        if values != new:
            raise Uncapturable(f"{kind} counts in Python in place of in a buffer")


@contextlib.contextmanager
def _all_captured() -> Iterator[None]:
    """Have torch raise where nothing was captured."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "The CUDA Graph is empty", UserWarning)
        yield


def check_optimizer(training: Training) -> None:
    """Raise Uncapturable where the optimizer counts on the processor, which no graph sees."""
    for state in training.optimizer.state.values():
        for name, value in state.items():
            on_host = not isinstance(value, Tensor) or value.device != training.parameters[0].device
            if on_host and value is not None:
                kind = type(training.optimizer).__name__
                raise Uncapturable(f"{kind} keeps its {name} on the processor")


@contextlib.contextmanager
def _no_waiting() -> Iterator[None]:
    """Have torch raise where the host would wait for the GPU."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        # That it does not see all that waits; the capture itself refuses the rest.
        warnings.filterwarnings("ignore", "Synchronization debug mode", UserWarning)
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def who(error: BaseException) -> str:
    """Who raised an error in a step, and what it says: the innermost code that is not torch's.

    A component if there is one; what comes out of a gradient has no trace but the loop's.
    """
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, Uncapturable):
        return reason
    inside = (Path(torch.__file__).parent, Path(__file__).parents[1])
    told: BaseException | None = error
    while told is not None:
        for frame in reversed(traceback.extract_tb(told.__traceback__)):
            if not any(Path(frame.filename).is_relative_to(folder) for folder in inside):
                return f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}: {reason}"
        told = told.__context__
    return reason
