"""Search: the values of each trial are drawn by Optuna, which learns from the trials before."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvae_core.errors import RecipeError, more_packages
from dvae_core.files import write_atomically
from dvae_core.recipe.goal import Goal
from dvae_core.recipe.source import Dotted
from dvae_core.sweep.jobs import stop_file
from dvae_core.sweep.plan import Plan, Variant, run_name, trial_name
from dvae_core.sweep.sweep_file import Range, Search
from dvae_core.sweep.tracker import Tracker, is_stopped, values_by_epoch

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, Trial

STORAGE = "optuna.jsonl"
"""Optuna's own journal of trials, in the sweep's folder."""


def trial_names(search: Search) -> list[str]:
    """The variants of a search by name, before any is drawn."""
    return [trial_name(number) for number in range(search.trials)]


class Trials:
    """The trials of a search, in a journal that outlives whoever drives the sweep.

    A trial's value is the mean of the goal's metric over the seeds, after the last epoch. A trial
    with a failed run has none, and a pruned one the last mean that Optuna was told of. Each trial's
    sampler is seeded with the search's seed and the trial's number: what is drawn depends on them
    and, for tpe, on the trials that have ended.

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
            raise more_packages("a search", "optuna", error) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna, self._goal = optuna, goal
        # Absolute, for the lock beside it is a link to it, which a kill may leave.
        file = tracker.folder.absolute() / STORAGE
        _tidy(file)
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(file)))
        self._study = optuna.create_study(
            study_name="sweep",
            storage=storage,
            load_if_exists=True,
            direction="maximize" if goal.direction == "highest" else "minimize",
            pruner=optuna.pruners.MedianPruner() if search.pruner == "median" else None,
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
            variant = self._plan.trial(trial.number, self._values(self._params(trial)))
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
        for trial, runs in self._under_way():
            if not all(map(self._tracker.done, runs)):
                continue
            self._report(trial, runs)
            values = [self._tracker.values[run] for run in runs if run in self._tracker.values]
            stops = [f for run in runs if (f := stop_file(self._tracker.folder, run)).exists()]
            if len(values) < len(runs):
                self._study.tell(trial.number, state=states.FAIL)
            elif any(is_stopped(self._tracker.folder / file.stem) for file in stops):
                self._study.tell(trial.number, state=states.PRUNED)
            else:
                self._study.tell(trial.number, statistics.fmean(values))
            for file in stops:
                file.unlink(missing_ok=True)

    def prune(self) -> None:
        """Have the runs of each trial stopped that the pruner gives up after its last epoch."""
        if self._search.pruner == "none":
            return
        for trial, runs in self._under_way():
            told = self._report(trial, runs)
            if told is None or not told.should_prune():
                continue
            reason = f"pruned: {self._goal} is worse than the median of the trials before"
            for run in runs:
                file = stop_file(self._tracker.folder, run)
                if not self._tracker.done(run) and not file.exists():
                    write_atomically(file, reason.encode())

    def _under_way(self) -> list[tuple[FrozenTrial, list[str]]]:
        """The trials whose value Optuna does not have yet, each with its runs."""
        running = (self._optuna.trial.TrialState.RUNNING,)
        seeds = self._plan.sweep.seeds
        return [
            (trial, [run_name(trial_name(trial.number), seed) for seed in seeds])
            for trial in self._study.get_trials(states=running)
        ]

    def _report(self, trial: FrozenTrial, runs: list[str]) -> Trial | None:
        """Tell Optuna the goal's mean after each epoch that all runs have; None without a new one.

        Only where there is a pruner to make something of it.
        """
        if self._search.pruner == "none":
            return None
        curves = [values_by_epoch(self._tracker.folder / run, self._goal.key) for run in runs]
        common = set.intersection(*map(set, curves)) - {*trial.intermediate_values}
        told = self._optuna.trial.Trial(self._study, trial._trial_id)
        for epoch in sorted(common):
            value = statistics.fmean(curve[epoch] for curve in curves)
            told.report(value, epoch)
            trial.intermediate_values[epoch] = value
        return told if common else None

    def _sampler(self, number: int) -> Any:
        seed = (self._search.seed + 7919 * number) % 2**32
        if self._search.sampler == "random":
            return self._optuna.samplers.RandomSampler(seed=seed)
        # Trials that are under way count as poor ones, so that no two look in the same place.
        return self._optuna.samplers.TPESampler(seed=seed, constant_liar=True)

    def _params(self, trial: FrozenTrial) -> Mapping[str, Any]:
        """What was drawn for a trial; what a kill left out is drawn now."""
        missing = {k: d for k, d in self._distributions().items() if k not in trial.params}
        if not missing:
            return trial.params
        self._study.sampler = self._sampler(trial.number)
        drawn = self._optuna.trial.Trial(self._study, trial._trial_id)
        return trial.params | {name: drawn._suggest(name, one) for name, one in missing.items()}

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


def _tidy(file: Path) -> None:
    """Drop what a kill has left: a line that it cut off, and Optuna's lock.

    Nobody else is at them, for who drives a sweep has locked its folder.
    """
    for lock in file.parent.glob(f"{file.name}.lock*"):
        lock.unlink(missing_ok=True)
    if file.exists():
        with file.open("rb+") as stream:
            stream.truncate(stream.read().rfind(b"\n") + 1)
