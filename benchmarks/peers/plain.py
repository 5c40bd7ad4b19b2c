"""The usual PyTorch loop: ToTensor, a DataLoader, and loss.item() for the running mean."""

from benchmarks.peers.protocol import Stopwatch, Turn, serve
from benchmarks.peers.same_model import autocast, loader_of, loss_of, optimizer_of, usual_model_of


def prepare(job: dict) -> Turn:
    loader = loader_of(job)

    def turn() -> dict:
        model = usual_model_of(job)
        optimizer = optimizer_of(job, model)
        total, images = 0.0, 0
        watch = Stopwatch()
        for x, y in loader:
            with autocast(job):
                loss = loss_of(model, x, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
            images += len(x)
        return watch.stop(images, total / images)

    return turn


serve(prepare, "torch", "torchvision")
