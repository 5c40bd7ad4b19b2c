"""Lightning: a LightningModule in its Trainer, without logger, checkpoints and progress bar."""

import logging
import warnings
from typing import Any

from benchmarks.peers.protocol import Stopwatch, Turn, serve
from benchmarks.peers.same_model import loader_of, loss_of, optimizer_of, usual_model_of


def prepare(job: dict) -> Turn:
    import lightning
    import torch

    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    loader = loader_of(job)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.vae = usual_model_of(job)
            self.total = torch.zeros(())

        def configure_optimizers(self) -> Any:
            return optimizer_of(job, self)

        def training_step(self, batch: Any, index: int) -> Any:
            x, y = batch
            loss = loss_of(self.vae, x, y)
            self.total += loss.detach() * len(x)
            return loss

        def on_train_epoch_start(self) -> None:
            self.watch = Stopwatch()

        def on_train_epoch_end(self) -> None:
            mean = float(self.total) / job["images"]
            self.found = self.watch.stop(job["images"], mean)

    def turn() -> dict:
        module = Module()
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            precision="bf16-mixed" if job["precision"] == "bfloat16" else "32-true",
        )
        trainer.fit(module, loader)
        return module.found

    return turn


serve(prepare, "lightning", "torch")
