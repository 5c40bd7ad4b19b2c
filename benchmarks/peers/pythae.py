"""pythae: the same model as one of its own, in its trainer. It has no bfloat16 on a CPU."""

import logging
import tempfile
from typing import Any

from benchmarks.peers.protocol import Stopwatch, Turn, serve
from benchmarks.peers.same_model import arrays, loss_of, usual_model_of


def prepare(job: dict) -> Turn:
    import torch
    from pythae.data.datasets import BaseDataset
    from pythae.models.base import BaseAE, BaseAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    logging.disable(logging.WARNING)
    images, labels = arrays(job)
    data = BaseDataset(torch.from_numpy(images).float() / 255, torch.from_numpy(labels))

    class Model(BaseAE):
        def __init__(self) -> None:
            super().__init__(BaseAEConfig(input_dim=images.shape[1:], latent_dim=2))
            self.vae = usual_model_of(job)

        def forward(self, inputs: Any, **_: Any) -> Any:
            return ModelOutput(loss=loss_of(self.vae, inputs["data"], inputs["labels"].long()))

    class Clock(TrainingCallback):
        def on_train_step_begin(self, training_config: Any, **_: Any) -> None:
            self.watch = Stopwatch()

        def on_epoch_end(self, training_config: Any, **_: Any) -> None:
            self.found = self.watch.stop(len(images), float("nan"))

        def on_log(self, training_config: Any, logs: Any, **_: Any) -> None:
            self.found["loss"] = logs["train_epoch_loss"]

    def turn() -> dict:
        optimizer = dict(job["optimizer"])
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            config = BaseTrainerConfig(
                output_dir=folder,
                num_epochs=1,
                per_device_train_batch_size=job["batch"],
                learning_rate=optimizer.pop("lr"),
                optimizer_cls=optimizer.pop("name"),
                optimizer_params=optimizer or None,
                no_cuda=True,
            )
            BaseTrainer(Model(), data, training_config=config, callbacks=[clock]).train()
        return clock.found

    return turn


serve(prepare, "pythae", "torch")
