"""Whether a run folder is what a finished run leaves: python .ci/check_run.py RUN --epochs N ..."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("run", type=Path)
parser.add_argument("--epochs", type=int, required=True)
parser.add_argument("--figures", type=int, required=True)
parser.add_argument("--knn", type=float, required=True, help="least k-NN accuracy at the end")
parser.add_argument("--wandb", action="store_true", help="an offline W&B run must be there")
options = parser.parse_args()

rows = [json.loads(line) for line in (options.run / "metrics.jsonl").read_text().splitlines()]
last = rows[-1]
assert json.loads((options.run / "run.json").read_text())["status"] == "finished"
assert len(rows) == options.epochs, len(rows)
assert last["test/knn_accuracy"] >= options.knn, last
assert len(list((options.run / "figures").glob("*.png"))) == options.figures
assert not options.wandb or list(options.run.glob("wandb/offline-run-*/*.wandb"))
print({key: round(value, 3) for key, value in last.items() if key.startswith("test/")})
