"""One run on many processes, its ranks: who does what, and what they tell each other."""

from __future__ import annotations

import gc
import itertools
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from dvae_core.errors import Diverged, Interrupted, RankLost, RecipeError
from dvae_core.recipe.recipe import Recipe
from dvae_core.training.ranks.torchrun import Process

PATIENCE = timedelta(days=1)
"""How long a rank waits for the others: the first one may evaluate for hours."""
ASK_EVERY = 10
"""Steps between questions to all ranks; each costs the time of a message there and back."""

T = TypeVar("T")

_joined = itertools.count()


class Ranks:
    """All the ranks of a run that has one: this process.

    Args:
        store: what outlives this process when torchrun starts it anew.
    """

    def __init__(self, process: Process | None = None, store: Any = None) -> None:
        self.process = process or Process()
        self.rank = self.process.rank
        self.count = self.process.count
        self._store = store

    @property
    def first(self) -> bool:
        """Whether this rank writes the run folder, evaluates and speaks."""
        return self.rank == 0

    @property
    def command(self) -> str:
        """What to write in place of `dvae` to start as many processes again."""
        return "dvae"

    def fit(self, recipe: Recipe) -> Recipe:
        """The recipe with what so many ranks settle.

        Raises:
            RecipeError: it cannot be trained by so many.
        """
        return recipe

    def device(self, name: str) -> str:
        """The device of this rank, where a recipe's is `name`."""
        return name

    # --- What the ranks tell each other.

    @contextmanager
    def together(self, folder: Path | None = None) -> Iterator[None]:
        """Say it in words when another rank is gone.

        Raises:
            RankLost: with how to go on with the run in `folder`.
        """
        yield

    def from_first(self, do: Callable[[], T]) -> T:
        """What the first rank gets from `do`; the others do nothing and get the same."""
        return do()

    @contextmanager
    def after_first(self) -> Iterator[None]:
        """The first rank alone, then the others: for what leaves files that all can use."""
        yield

    def sum(self, numbers: Tensor) -> Tensor:
        """The sum of the ranks' tensors, on the processor, the same bits on each."""
        return numbers

    def max(self, number: int, step: int = 0) -> int:
        """The largest of the ranks' numbers; 0 at steps when nobody is asked."""
        return number

    def random_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """The first rank's global random state, as this rank takes it up."""
        return state

    # --- A launch that starts its processes anew.

    def begun(self) -> Path | None:
        """The folder of this run, if processes before these began it."""
        return self.from_first(self._begun)

    def begin(self, folder: Path) -> None:
        """Note the folder for processes that torchrun starts anew."""
        if self._store is not None:
            self._store.set("run", str(folder.absolute()))

    def _begun(self) -> Path | None:
        if self._store is None or not self._store.check(["run"]):
            return None
        return Path(self._store.get("run").decode())


ALONE = Ranks()


class ManyRanks(Ranks):
    """The ranks of a run on many processes, which have joined."""

    @property
    def command(self) -> str:
        return f"torchrun --nproc-per-node {self.process.local_count} -m dvae_core"

    def fit(self, recipe: Recipe) -> Recipe:
        train = recipe.train
        if train.batch_size < self.count:
            raise RecipeError(
                f"{recipe.origin(('train', 'batch_size'))}: [train] batch_size: {train.batch_size} "
                f"images for {self.count} processes; it is the batch of all of them together: "
                f"make it {self.count} or more, or start fewer processes"
            )
        if train.accumulate not in (None, 1):
            raise RecipeError(
                f"{recipe.origin(('train', 'accumulate'))}: [train] accumulate: works in one "
                f"process alone, and {self.count} share the batch already; leave it out"
            )
        if train.compile == "on":
            raise RecipeError(
                f"{recipe.origin(('train', 'compile'))}: [train] compile: works in one process "
                f'alone, and there are {self.count}; set train.compile = "off"'
            )
        return recipe.model_copy(update={"train": train.model_copy(update={"compile": "off"})})

    def device(self, name: str) -> str:
        if name == "auto" and not torch.cuda.is_available():
            return "cpu"
        if name in ("auto", "cuda"):
            here, wanted = torch.cuda.device_count(), self.process.local_count
            if self.process.local_rank >= here:
                raise RecipeError(
                    f"[train] device: {wanted} processes on a machine with {here} GPUs; start one "
                    'for each, or set train.device = "cpu"'
                )
            torch.cuda.set_device(self.process.local_rank)
            return f"cuda:{self.process.local_rank}"
        if name != "cpu":
            raise RecipeError(
                f'[train] device: "{name}" is for one process; for {self.count}, use "auto", '
                '"cuda" (a GPU for each) or "cpu"'
            )
        return name

    @contextmanager
    def together(self, folder: Path | None = None) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            # Gloo's errors have no class of their own; each names the file that it comes from.
            if not isinstance(error, dist.DistError) and "gloo" not in str(error).lower():
                raise
            # Torchrun sends SIGTERM to those that are left; inside a loop it is only noted, and so
            # the last words get said.
            time.sleep(1)
            go_on = f"; go on with: {self.command} run --resume {folder}" if folder else ""
            raise RankLost(f"another process of the run is gone{go_on}") from error

    def from_first(self, do: Callable[[], T]) -> T:
        box: list[Any] = [do() if self.first else None]
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    @contextmanager
    def after_first(self) -> Iterator[None]:
        if not self.first:
            self._wait()
        yield
        if self.first:
            self._wait()

    def sum(self, numbers: Tensor) -> Tensor:
        numbers = numbers.clone()
        dist.all_reduce(numbers)
        return numbers

    def max(self, number: int, step: int = 0) -> int:
        if step % ASK_EVERY:
            return 0
        largest = torch.tensor(number)
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
        return int(largest)

    def random_state(self, state: dict[str, Any]) -> dict[str, Any]:
        if "cuda" not in state:
            return state
        return state | {"cuda": state["cuda"][:1]}

    def _wait(self) -> None:
        self.max(0)


@contextmanager
def join() -> Iterator[Ranks]:
    """Join the other processes of the launch, if there are any.

    Raises:
        RankLost: another one is gone.
    """
    process, number = Process.here(), next(_joined)
    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if process.count == 1 and not agent:
        yield ALONE
        return
    store = TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=process.rank == 0 and not agent,
        multi_tenant=True,
    )
    runs = PrefixStore(f"dvae/{number}", store)
    if process.count == 1:
        yield Ranks(process, runs)
        return
    # Torchrun's store outlives the processes, and so do the addresses they leave in it.
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        store=PrefixStore(f"attempt {process.attempt}", runs),
        rank=process.rank,
        world_size=process.count,
        timeout=PATIENCE,
    )
    ranks = ManyRanks(process, runs)
    try:
        with ranks.together():
            yield ranks
            ranks._wait()
    except Exception as error:
        # What a frame holds of the training must be gone before the group is.
        traceback.clear_frames(error.__traceback__)
        if isinstance(error, (Interrupted, Diverged)):  # which all ranks raise together
            ranks._wait()
        raise
    finally:
        gc.collect()
        dist.destroy_process_group()
