"""The machine's own pace: the model's operations at the rate of a large matrix product."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peers.protocol import Stopwatch, Turn, serve
from benchmarks.peers.same_model import arrays, loss_of, usual_model_of

SIDE = 2048
REPEATS = 8


def prepare(job: dict) -> Turn:
    model, (images, labels) = usual_model_of(job), arrays(job)
    batch = job["batch"]
    x, y = torch.from_numpy(images[:batch]) / 255, torch.from_numpy(labels[:batch])
    with FlopCounterMode(display=False) as counter:
        loss_of(model, x, y).backward()
    work = counter.get_total_flops() / len(x) * len(images)
    dtype = torch.bfloat16 if job["precision"] == "bfloat16" else torch.float32
    a = torch.randn(SIDE, SIDE).to(dtype)

    def turn() -> dict:
        watch = Stopwatch()
        for _ in range(REPEATS):
            a @ a
        done = REPEATS * 2 * SIDE**3
        return watch.stop(round(len(images) * done / work), float("nan"))

    return turn


serve(prepare, "torch")
