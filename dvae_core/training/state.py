"""The parts of a run, put together: a step, an epoch's end, and the state of a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dvae_core.errors import Diverged, DvaeError, RecipeError
from dvae_core.latent.kept_posterior import LARGEST
from dvae_core.latent.networks import Networks
from dvae_core.latent.snapshot import Snapshot
from dvae_core.model.batches import Batch, Batches
from dvae_core.model.data import fingerprint, visible_labels
from dvae_core.model.device import device_of, place
from dvae_core.model.fitting import restore_optimizer
from dvae_core.model.guided_vae import build_model
from dvae_core.model.ledger import Ledger
from dvae_core.model.objective import Objective
from dvae_core.plugin.labelled_images import LabelledImages
from dvae_core.randomness import (
    global_state,
    seed_everything,
    set_global_state,
)
from dvae_core.recipe import optimizers
from dvae_core.recipe.recipe import Recipe
from dvae_core.runs.folder import RunFolder
from dvae_core.training.gradients import Gradients
from dvae_core.training.noise import Noise
from dvae_core.training.ranks.ranks import ALONE, Ranks
from dvae_core.training.ranks.shared_loss import part_of
from dvae_core.training.speed.memory import keep_freed_memory


class Training:
    """The parts of a run, put together, and the state that a checkpoint keeps."""

    def __init__(
        self,
        recipe: Recipe,
        data: LabelledImages,
        measured: Sequence[str] = (),
        ranks: Ranks = ALONE,
    ) -> None:
        self.recipe = recipe
        self.data = data
        self.ranks = ranks
        self.device = device_of(ranks.device(recipe.train.device))
        self.measured = measured
        """What was measured to settle the recipe's precision and compilation."""
        self.timeline = recipe.timeline(len(data.train_images))
        seed_everything(recipe.seed, "start")
        self.model = build_model(recipe, data.image_shape, data.classes)
        place(self.model, self.device)
        if self.device.type == "cpu":
            keep_freed_memory()
        labels, targets = visible_labels(recipe, data)
        self.objective = Objective(recipe, self.model, self.timeline, data.train_images, labels).to(
            self.device
        )
        self.gradients = Gradients(
            recipe, self.model, self.objective, self.device, ranks, lambda: self.step
        )
        # A term may hold the model itself; each parameter is trained once.
        both = (*self.model.parameters(), *self.objective.parameters())
        self.parameters = list(dict.fromkeys(both))
        self.captures = self.device.type == "cuda" and ranks.count == 1 and self._is_plain
        """Whether whole batches' steps become one CUDA graph, if they can."""
        try:
            self.optimizer = optimizers.build(
                recipe.optimizer.name, recipe.optimizer.keywords, self.parameters
            )
        except ValueError as error:
            raise RecipeError(
                f"{recipe.origin(('optimizer', 'name'))}: [optimizer] {error}"
            ) from error
        for group in self.optimizer.param_groups if self.captures else ():
            if "capturable" in group:
                group["capturable"] = True
        self.batches = Batches(
            data.train_images,
            labels,
            targets,
            batch_size=recipe.train.step_size,
            seed=recipe.seed,
            device=self.device,
            part=lambda size: part_of(size, ranks),
        )
        self.noise = Noise(recipe.seed, recipe.latent.dim)
        steps = self.timeline.steps_per_epoch
        self.ledger = Ledger(
            self.objective.names,
            self.device,
            steps=steps,
            total=ranks.sum,
            accuracy=targets is None or bool((labels >= 0).any()),
        )
        self.epoch = 0
        """Epochs finished."""
        self.epoch_step = 0
        """Steps into the epoch at hand."""
        self.means: dict[str, float] = {}
        """The last finished epoch's means."""

    def check_batches(self) -> None:
        """Refuse, before the first step, a batch that the last one of an epoch would fail with.

        Raises:
            RecipeError: the model has batch normalization, and the last batch a single image.
        """
        batch_size, images = self.recipe.train.batch_size, len(self.data.train_images)
        normed = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in self.model.modules())
        if normed and 1 in (batch_size, images % batch_size):
            raise RecipeError(
                f"{self.recipe.origin(('train', 'batch_size'))}: [train] batch_size: {images:,} "
                f"images in batches of {batch_size} make a last batch of one image, which batch "
                "normalization cannot take; choose another"
            )

    @property
    def facts(self) -> dict[str, Any]:
        """What run.json says of how the run trains: where, with which data, and what was chosen."""
        train = self.recipe.train
        facts = {"device": str(self.device), "data": fingerprint(self.data)}
        if not self.measured:
            return facts
        chosen = {"precision": train.precision, "compile": train.compile}
        return facts | {"chosen": chosen | {"measured": list(self.measured)}}

    @property
    def step(self) -> int:
        """Steps finished."""
        return self.epoch * self.timeline.steps_per_epoch + self.epoch_step

    def take_step(self, images: Tensor, labels: Tensor, targets: Tensor | None = None) -> bool:
        """One optimizer step on a `Batch`.

        Returns:
            Whether the ledger is due for reading.
        """
        batch, size = Batch(images, labels, targets), len(labels)
        if self.labels_hidden(self.step):
            batch = batch.hidden(torch.ones(1, dtype=torch.bool, device=self.device))
        noise = self.noise.draw(size).to(self.device)
        weights = torch.tensor(self.objective.weights_at(self.step), device=self.device)
        row = self.learn(batch, noise, weights)
        self.epoch_step += 1
        return self.ledger.add(row, size)

    def learn(self, batch: Batch, noise: Tensor, weights: Tensor) -> Tensor:
        """Change the parameters by a step's batch; its row for the ledger.

        Where the step is captured it takes nothing from the host.
        """
        if (lr := self.lr) is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = lr
        self.optimizer.zero_grad()
        row = self.gradients.add(batch, noise, weights)
        if self.recipe.train.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.recipe.train.clip_grad_norm)
        self.optimizer.step()
        return row

    def labels_hidden(self, step: int) -> bool:
        """Whether no term sees a label at a step."""
        return step >= self.recipe.train.labelled_steps(self.timeline.total)

    @property
    def _is_plain(self) -> bool:
        """Whether a step is one batch, as it is, at a constant learning rate."""
        one_batch = self.recipe.train.step_size == self.recipe.train.batch_size
        return one_batch and self.recipe.optimizer.schedule is None and not self.gradients.augments

    @property
    def lr(self) -> float | None:
        """The learning rate of the step at hand, where it follows a schedule."""
        schedule = self.recipe.optimizer.schedule
        if schedule is None:
            return None
        lr = self.timeline.value(schedule, self.step)
        if lr < 0:
            raise DvaeError(f'schedule "{schedule.name}" gave a learning rate of {lr}, below 0')
        return lr

    def train(self, mode: bool = True) -> None:
        """Put the model and the terms into training mode, or into evaluation mode."""
        self.model.train(mode)
        self.objective.train(mode)

    def finite(self) -> Tensor:
        """Whether every number of every parameter is finite: one flag, on the device."""
        return torch.stack([p.isfinite().all() for p in self.parameters]).all()

    def check_finite(self, run: RunFolder) -> None:
        """Read the ledger, and stop where a term or a parameter is not finite.

        Raises:
            Diverged: with the step, its terms and their weights, and what to do.
        """
        found = self.ledger.read(self.finite())
        if found is None:
            return
        ago, values = found
        # The step before this one was sound, or its loss would not have been finite.
        sound = all(map(math.isfinite, values.values()))
        what = "a gradient, and so the model, is" if sound else "the loss is"
        step = self.step - ago
        weights = self.objective.weights_at(step - 1)
        terms = ", ".join(
            f"{name} {values[name]:g} (weight {weight:g})"
            for name, weight in zip(self.objective.names, weights, strict=True)
        )
        checkpoint = run.last_checkpoint() or "none yet"
        raise Diverged(
            f"{what} no longer finite at step {step:,} (epoch {self.epoch + 1}): {terms}. "
            "Try a smaller learning rate, smaller weights, or train.clip_grad_norm = 1.0. "
            f"Last good checkpoint: {checkpoint}"
        )

    def finish_epoch(self) -> None:
        """The epoch's last step is taken."""
        self.means = self.ledger.means()
        weights = self.objective.weights_at(self.step - 1)
        for name, weight in zip(self.objective.names, weights, strict=True):
            self.means[f"train/{name}_weight"] = weight
        if self.recipe.optimizer.schedule is not None:
            self.means["train/lr"] = self.optimizer.param_groups[0]["lr"]
        self.ledger.reset()
        self.epoch, self.epoch_step = self.epoch + 1, 0

    def images_in_epoch(self, first: int) -> int:
        """Images of an epoch from batch number `first` on."""
        return max(0, len(self.data.train_images) - first * self.recipe.train.step_size)

    def disk_space(self) -> int:
        """A generous estimate of what the run will write, in bytes."""
        recipe = self.recipe
        weights = sum(p.numel() * p.element_size() for p in self.parameters)
        # An optimizer keeps up to three numbers for each weight; a third checkpoint is being
        # written while two are kept, and there may be a best one.
        checkpoints = 4 * weights * (3 + bool(recipe.train.keep_best))
        evaluations = recipe.train.epochs // recipe.evaluate.every + 1
        figures = evaluations * len(recipe.evaluate.plots) * 200_000
        placed = len(self.data.train_images) + 2 * len(self.data.test_images)
        places = min(4 * recipe.latent.dim * placed, LARGEST)
        return checkpoints + figures * (2 if recipe.callbacks else 1) + places + 5_000_000

    def snapshot(
        self,
        history: Sequence[dict[str, Any]] = (),
        say: Callable[[str], None] = lambda text: None,
        stop: Callable[[str], None] = lambda reason: None,
    ) -> Snapshot:
        """The state that metrics and plots look at, after the epochs in `history`.

        `say` is told of what takes long, and `stop` why a metric wants the run to end.
        """
        networks = Networks(self.model, self.recipe, self.device)
        return Snapshot(
            self.recipe,
            networks,
            self.objective,
            self.data,
            epoch=self.epoch,
            step=self.step,
            history=history,
            say=say,
            stop=stop,
        )

    def state_dict(self) -> dict[str, Any]:
        """All but the callbacks' part of what a run needs to go on as if it had never stopped."""
        return {
            "epoch": self.epoch,
            "epoch_step": self.epoch_step,
            "model": self.model.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ledger": self.ledger.state_dict(),
            "noise": self.noise.get_state(),
            "global_random": global_state(self.device),
        }

    def load_state_dict(self, state: dict[str, Any]) -> list[str]:
        """The opposite of `state_dict`.

        Returns:
            A warning for each part that cannot go on where it was.

        Raises:
            KeyError, ValueError, RuntimeError, ...: the state is of another model, or of none.
        """
        if state["epoch_step"] > self.timeline.steps_per_epoch:
            raise ValueError(f"an epoch has no step {state['epoch_step']:,}")
        self.load_weights(state)
        self.ledger.load_state_dict(state["ledger"])
        self.epoch, self.epoch_step = state["epoch"], state["epoch_step"]
        self.ledger.start_at(self.epoch_step)
        set_global_state(self.ranks.random_state(state["global_random"]), self.device)
        if self.noise.set_state(state["noise"], self.step):
            return []
        return ["the run drew its latent noise on a GPU; from here on it draws other noise"]

    def load_weights(self, state: dict[str, Any]) -> None:
        """Take the parameters of a state, and what the optimizer knows of them."""
        self.model.load_state_dict(state["model"])
        self.objective.load_state_dict(state["objective"])
        restore_optimizer(self.optimizer, self.recipe, state["optimizer"])
