"""What dvae computes, written out: all images in one uint8 tensor, channels last, a bare loop."""

import torch

from benchmarks.peers.protocol import Stopwatch, Turn, serve
from benchmarks.peers.same_model import arrays, autocast, loss_of, model_of, optimizer_of
from dvae_core.model.fast_linear import speed_up_linears
from dvae_core.training.speed.memory import keep_freed_memory


def prepare(job: dict) -> Turn:
    keep_freed_memory()
    images, labels = map(torch.from_numpy, arrays(job))
    images = images.contiguous(memory_format=torch.channels_last)

    def turn() -> dict:
        model = model_of(job).to(memory_format=torch.channels_last)
        speed_up_linears(model)
        # In one pass over the memory, where torch has that, as dvae does it.
        one_pass = {"fused": True} if job["optimizer"]["name"] == "Adam" else {}
        optimizer = optimizer_of(job | {"optimizer": job["optimizer"] | one_pass}, model)
        total = torch.zeros(())
        watch = Stopwatch()
        for chosen in torch.randperm(len(images)).split(job["batch"]):
            x, y = images[chosen].float().div_(255), labels[chosen]
            with autocast(job):
                loss = loss_of(model, x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(x)
        return watch.stop(len(images), float(total) / len(images))

    return turn


serve(prepare, "torch")
