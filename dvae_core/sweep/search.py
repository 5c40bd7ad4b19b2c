"""Search: the values of each trial are drawn by Optuna, which learns from the trials before."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dvae_core.errors import DvaeError, RecipeError
from dvae_core.recipe.goal import Goal
from dvae_core.recipe.source import Dotted
from dvae_core.sweep.plan import Plan, Variant, run_name, trial_name
from dvae_core.sweep.sweep_file import Range, Search
from dvae_core.sweep.tracker import Tracker

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

STORAGE = "optuna.jsonl"
"""Optuna's own journal of trials, in the sweep's folder."""


def trial_names(search: Search) -> list[str]:
    """The variants of a search by name, before any is drawn."""
    return [trial_name(number) for number in range(search.trials)]


class Trials:
    """The trials of a search, in a journal that outlives whoever drives the sweep.

    A trial's value is the mean of the goal's metric over the seeds, after the last epoch. A trial
    with a failed run has none. Each trial's sampler is seeded with the search's seed and the
    trial's number: what is drawn depends on them and, for tpe, on the trials that have ended.

    Raises:
        DvaeError: Optuna is not installed.
        RecipeError: the folder holds the search of another space or goal.
    """

    def __init__(self, plan: Plan, tracker: Tracker) -> None:
        search, goal = plan.sweep.search, Goal.of(plan.sweep.goal)
        assert search is not None
        assert goal is not None
        self._plan, self._tracker, self._search = plan, tracker, search
        try:
            import optuna
            from optuna.storages.journal import JournalFileBackend
        except ImportError as error:
            raise DvaeError(
                'a search needs Optuna, which is not installed: pip install "dvae-core[optuna]"'
            ) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(tracker.folder / STORAGE)))
        self._study = optuna.create_study(
            study_name="sweep",
            storage=storage,
            load_if_exists=True,
            direction="maximize" if goal.direction == "highest" else "minimize",
        )
        about = {"space": search.space, "goal": str(goal)}
        before = self._study.user_attrs.get("about")
        if before is None:
            self._study.set_user_attr("about", about)
        elif before != json.loads(json.dumps(about)):
            at = plan.sweep.origin(("search",))
            raise RecipeError(
                f"{at}: the goal or the space is not the one that {tracker.folder} was started "
                "with; start a new sweep"
            )
        self.names = trial_names(search)

    def known(self) -> dict[str, Variant]:
        """The trials that have been drawn, by name."""
        found = {}
        for trial in self._study.get_trials(deepcopy=False):
            variant = self._plan.trial(trial.number, self._values(trial.params))
            found[variant.name] = variant
        return found

    def variant(self, name: str) -> Variant:
        """The variant of a trial, drawn now if it has not been."""
        known = self.known()
        if name not in known:
            # What ended a moment ago shall be known to what is drawn now.
            self._tracker.look(now=True)
            self.tell()
        while name not in known:
            number = len(known)
            self._study.sampler = self._sampler(number)
            trial = self._study.ask(self._distributions())
            variant = self._plan.trial(number, self._values(trial.params))
            known[variant.name] = variant
        return known[name]

    def tell(self) -> None:
        """Let Optuna know of the trials whose runs have all ended."""
        states = self._optuna.trial.TrialState
        for trial in self._study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            seeds = self._plan.sweep.seeds
            runs = [run_name(trial_name(trial.number), seed) for seed in seeds]
            if not all(map(self._tracker.done, runs)):
                continue
            values = [self._tracker.values[run] for run in runs if run in self._tracker.values]
            if len(values) == len(runs):
                self._study.tell(trial.number, statistics.fmean(values))
            else:
                self._study.tell(trial.number, state=states.FAIL)

    def _sampler(self, number: int) -> Any:
        seed = (self._search.seed + 7919 * number) % 2**32
        if self._search.sampler == "random":
            return self._optuna.samplers.RandomSampler(seed=seed)
        # Trials that are under way count as poor ones, so that no two look in the same place.
        return self._optuna.samplers.TPESampler(seed=seed, constant_liar=True)

    def _distributions(self) -> dict[str, BaseDistribution]:
        made = self._optuna.distributions
        found: dict[str, BaseDistribution] = {}
        for key, dimension in self._search.dimensions.items():
            if not isinstance(dimension, Range):
                # By number, because a choice may be a table or a list.
                one: BaseDistribution = made.CategoricalDistribution(range(len(dimension)))
            elif isinstance(dimension.low, int) and isinstance(dimension.high, int):
                one = made.IntDistribution(dimension.low, dimension.high, log=dimension.log)
            else:
                one = made.FloatDistribution(dimension.low, dimension.high, log=dimension.log)
            found[".".join(key)] = one
        return found

    def _values(self, params: Mapping[str, Any]) -> dict[Dotted, Any]:
        values = {}
        for key, dimension in self._search.dimensions.items():
            drawn = params[".".join(key)]
            values[key] = drawn if isinstance(dimension, Range) else dimension[drawn]
        return values
