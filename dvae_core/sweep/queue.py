"""The queue of a sweep: the jobs that a launcher has still to take."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from importlib.metadata import version

from dvae_core.errors import RecipeError
from dvae_core.plugin.given import Job
from dvae_core.sweep.plan import Plan, Variant, digest, run_name
from dvae_core.sweep.search import Trials
from dvae_core.sweep.tracker import Tracker


class Queue:
    """Gives jobs one at a time, and makes each when it is asked for.

    Args:
        variants: the variants of a grid. All run with the first seed, then all with the next, so
            that there is something to compare early.
        trials: a search, each of whose trials runs with all seeds before the next is drawn.
    """

    def __init__(
        self,
        plan: Plan,
        tracker: Tracker,
        variants: Sequence[Variant],
        trials: Trials | None = None,
        device: str = "auto",
    ) -> None:
        self.device = device
        """What all recipes name; "auto" where they name several."""
        self._plan = plan
        self._tracker = tracker
        self._variants = {variant.name: variant for variant in variants}
        self._trials = trials
        seeds = plan.sweep.seeds
        if trials is None:
            pairs = [(name, seed) for seed in seeds for name in self._variants]
        else:
            pairs = [(name, seed) for name in trials.names for seed in seeds]
        self._runs = {run_name(v, s): (v, s) for v, s in pairs}
        self._waiting: deque[str] = deque()
        self._open = True
        self._distributions = {p.distribution: p.version for p in plan.registry.providers}
        self._distributions["torch"] = version("torch")

    def __iter__(self) -> Queue:
        return self

    def __next__(self) -> Job:
        while True:
            if not self._open or not self._waiting:
                raise StopIteration
            name = self._waiting.popleft()
            variant, seed = self._runs[name]
            try:
                recipe = self._plan.recipe(self._made(variant))
                break
            except RecipeError as error:
                if self._trials is None:
                    raise
                # Values that are right one by one, and together are not.
                self._tracker.refuse(name, str(error))
        self._tracker.plan(name, recipe.train.epochs)
        if variant not in self._tracker.journal.variants:
            self._tracker.journal.add([{"variant": variant, "recipe": digest(recipe)}])
        return Job(
            name=name,
            sweep=str(self._tracker.folder.absolute()),
            session=self._tracker.session,
            recipe=recipe.to_table() | {"seed": seed},
            distributions=self._distributions,
        )

    def __len__(self) -> int:
        return len(self._waiting)

    def refill(self) -> int:
        """Offer again what is not done; how many runs that are."""
        if self._trials is not None:
            self._trials.tell()
        self._waiting = deque(self.undone())
        return len(self._waiting)

    def prune(self) -> None:
        """Have the trials under way stopped that the search's pruner expects nothing of."""
        if self._trials is not None:
            self._trials.prune()

    def undone(self) -> list[str]:
        """The runs that are neither finished nor failed."""
        return [name for name in self._runs if not self._tracker.done(name)]

    def _made(self, variant: str) -> Variant:
        if self._trials is not None:
            return self._trials.variant(variant)
        return self._variants[variant]

    def close(self) -> None:
        """Give no more."""
        self._open = False
