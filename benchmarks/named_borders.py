"""Borders by name on random pairs: the figures of docs/named_borders.md.

    python -m benchmarks.named_borders --runs DIR [CASE...]

Takes the finished runs that lie in DIR and trains what is missing there: three to four minutes a
run on one core, half a minute for digits.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.documents import DOCS, ROOT, save_picture, stamp, write_below_mark

CLASSES = 10


@dataclass(frozen=True)
class Case:
    """Runs that differ in their pairs and seeds alone."""

    title: str
    dataset: str
    pairs: int
    sets: tuple[int, ...]
    """Which random sets of so many pairs; each has a seed of its own."""
    changes: tuple[str, ...] = ()


DIGITS = f'dataset={{name="npz",path="{ROOT}/recipes/data/digits.npz",validation_fraction=0.15}}'
LET_GO = "train.labels_until=0.67"
PLAIN = ("pairs=[]", "terms=[]", "guidance.weight=0.0", 'kl.name="square"')
CASES = {
    "mnist-4": Case("MNIST", "mnist", 4, (1, 2, 3)),
    "mnist-9": Case("MNIST", "mnist", 9, (1, 2, 3)),
    "mnist-14": Case("MNIST", "mnist", 14, (2, 3)),
    "mnist-4-let-go": Case("MNIST, labels let go", "mnist", 4, (1, 2, 3), (LET_GO,)),
    "fashion-4": Case("Fashion-MNIST", "fashion_mnist", 4, (1, 2, 3)),
    "digits-4": Case("digits", "npz", 4, (1, 2, 3), (DIGITS, "train.epochs=150")),
    "mnist-4-layout": Case("MNIST, the layout without terms", "mnist", 4, (1,), ("terms=[]",)),
    "mnist-4-plain": Case("MNIST, no guidance, `square`", "mnist", 4, (1,), PLAIN),
}
SHOWN = "mnist-9", 2
"""The case and set of the pictures."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="where the runs are or shall be")
    parser.add_argument("cases", nargs="*", default=list(CASES), help="which; all if none")
    parser.add_argument("--train-only", action="store_true", help="leave the document as it is")
    options = parser.parse_args()
    for name in options.cases:
        for number in CASES[name].sets:
            finished(options.runs, name, number)
    if not options.train_only:
        write_below_mark(
            DOCS / "named_borders.md", "benchmarks/named_borders.py", document(options.runs)
        )


def random_pairs(count: int, number: int) -> list[tuple[int, int]]:
    """So many random pairs of ten classes that a plane can hold, the same for the same number."""
    import networkx

    draw = random.Random(100 * count + number)
    graph = networkx.Graph()
    edges = [(a, b) for a in range(CLASSES) for b in range(a)]
    draw.shuffle(edges)
    for edge in edges:
        if graph.number_of_edges() == count:
            break
        graph.add_edge(*edge)
        if not networkx.check_planarity(graph)[0]:
            graph.remove_edge(*edge)
    return sorted((min(edge), max(edge)) for edge in graph.edges)


def finished(runs: Path, name: str, number: int) -> Any:
    """The run of a case and a set of pairs; trained now if it is not there."""
    from dvae_core import RunFolder, load_recipe, resume_run, run_recipe

    folder = runs / f"{name}-{number}"
    if folder.exists():
        found = RunFolder.open(folder)
        return found if found.info["status"] == "finished" else resume_run(folder)
    case = CASES[name]
    pairs = [list(pair) for pair in random_pairs(case.pairs, number)]
    recipe = load_recipe(
        ROOT / "recipes/borders.toml",
        [
            f'dataset.name="{case.dataset}"',
            f"pairs={json.dumps(pairs)}",
            f"seed={200 + number}",
            f"evaluate.metrics=[{{name='borders', pairs={json.dumps(pairs)}}}]",
            "evaluate.plots=['latent', 'regions']",
            *case.changes,
        ],
    )
    print(folder, flush=True)
    return run_recipe(recipe, runs, name=folder.name)


def document(runs: Path) -> list[str]:
    rows = [
        "| data | pairs, set | direct paths, in order | median | lowest | k-NN | reconstruction "
        "| KL, nats |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, case in CASES.items():
        for number in case.sets:
            if not (runs / f"{name}-{number}").exists():
                continue
            row = finished(runs, name, number).metrics()[-1]
            prefix = "test/direct_path/"
            shares = sorted(value for key, value in row.items() if key.startswith(prefix))
            told = " ".join(f"{share:.2f}".lstrip("0") for share in shares)
            rows.append(
                f"| {case.title} | {case.pairs}, {number} | {told} "
                f"| {statistics.median(shares):.2f} | {shares[0]:.2f} "
                f"| {row['test/knn_accuracy']:.3f} | {row['test/reconstruction']:.2f} "
                f"| {row['test/kl']:.2f} |"
            )
    name, number = SHOWN
    shown = finished(runs, name, number)
    last = shown.metrics()[-1]["epoch"]
    save_picture(shown.figure_path(last, "regions").read_bytes(), "named_borders-regions")
    return [
        f"Measured on {stamp()}, by `python -m benchmarks.named_borders --runs DIR`; a seed a row. "
        "Reconstruction and KL are those of the test images.",
        "\n".join(rows),
        f"![regions of MNIST with {CASES[name].pairs} named pairs, and the plan]"
        "(images/named_borders-regions.png)",
    ]


if __name__ == "__main__":
    main()
