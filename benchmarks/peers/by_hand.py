"""What dvae computes, written out: all images in one uint8 tensor, channels last, a bare loop."""

import time

import torch

from benchmarks.peers.protocol import Turn, serve
from benchmarks.peers.same_model import arrays, autocast, loss_of, model_of, optimizer_of


def prepare(job: dict) -> Turn:
    images, labels = map(torch.from_numpy, arrays(job))
    images = images.contiguous(memory_format=torch.channels_last)

    def turn() -> dict:
        model = model_of(job).to(memory_format=torch.channels_last)
        optimizer = optimizer_of(job, model)
        total = torch.zeros(())
        started = time.perf_counter()
        for chosen in torch.randperm(len(images)).split(job["batch"]):
            x, y = images[chosen].float().div_(255), labels[chosen]
            with autocast(job):
                loss = loss_of(model, x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(x)
        mean = float(total) / len(images)
        return {
            "seconds": time.perf_counter() - started,
            "images": len(images),
            "loss": mean,
        }

    return turn


serve(prepare, "torch")
