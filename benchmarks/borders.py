"""Borders by name on random pairs: the figures and pictures of docs/borders.md.

    python -m benchmarks.borders --runs DIR [CASE...]

Takes the finished runs that lie in DIR and trains what is missing there: one to three minutes a run
on one core.

What each case came to is kept in benchmarks/results/borders.json, so that the table can be made
without the runs; it is replaced once DIR has as many sets of the case as are kept.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import dist
from pathlib import Path
from typing import Any

from benchmarks import letters
from benchmarks.documents import (
    DOCS,
    RESULTS,
    ROOT,
    finished,
    save_picture,
    stamp_of,
    write_below_mark,
)

CLASSES = 10
SETS = 10
"""Random sets of pairs of each case, a seed each."""
LATTICE = 19
"""Pairs of classes that lie side by side in a triangular lattice; random sets have others."""
TRIED = 80
"""Sets at most of which SETS are to be such that a plan holds them."""

MNIST = ('dataset.name="mnist"', "dataset.train_limit=20000")
FASHION = ('dataset.name="fashion_mnist"', "dataset.train_limit=20000")
DIGITS = (f'dataset={{name="npz",path="{ROOT}/recipes/data/digits.npz",validation_fraction=0.15}}',)
LETTERS = Path(tempfile.gettempdir()) / "dvae-letters.npz"
SILHOUETTES = (f'dataset={{name="npz",path="{LETTERS}",validation_fraction=0.1}}',)
LET_GO = "train.labels_until=0.67"
SPREAD = "dataset.spread_labels=true"
LINES = "terms.2.fill=2.0", 'terms.2.fill_where="everywhere"', "terms.2.sort=0.0"
"""The term `border` as the recipe had it before it went by voids."""
PLAIN = ('kl.means="learned"', "terms=[]", "pairs=[]")
WIDE = (
    "evaluate.plots=[]",
    "evaluate.every=6",  # judging takes longer than training
    "kl.allow_crowded=true",
    "terms.1.weight=20.0",  # of cells: classes spread in dimensions that they could do without
    *LINES,  # void lies all about a class there, and not in strips
)


@dataclass(frozen=True)
class Case:
    """Runs that differ in their pairs and seeds alone."""

    title: str
    pairs: int
    changes: tuple[str, ...]
    sets: int = SETS


CASES = {
    "mnist-4": Case("MNIST", 4, MNIST),
    "mnist-9": Case("MNIST", 9, MNIST),
    "mnist-14": Case("MNIST", 14, MNIST),
    "mnist-19": Case("MNIST, a triangular lattice", LATTICE, MNIST, sets=3),
    "fashion-4": Case("Fashion-MNIST", 4, FASHION),
    "fashion-9": Case("Fashion-MNIST", 9, FASHION),
    "fashion-14": Case("Fashion-MNIST", 14, FASHION),
    "digits-4": Case("digits", 4, DIGITS),
    "digits-9": Case("digits", 9, DIGITS),
    "digits-14": Case("digits", 14, DIGITS),
    "letters-4": Case("letters", 4, SILHOUETTES),
    "letters-9": Case("letters", 9, SILHOUETTES),
    "mnist-4-let-go": Case("MNIST, labels let go", 4, (*MNIST, LET_GO)),
    "mnist-4-tenth": Case(
        "MNIST, a tenth of the labels", 4, (*MNIST, "dataset.labelled_fraction=0.1", SPREAD)
    ),
    "mnist-4-hundredth": Case(
        "MNIST, a hundredth of the labels", 4, (*MNIST, "dataset.labelled_fraction=0.01", SPREAD)
    ),
    "mnist-4-layout": Case("MNIST, the plan without terms", 4, (*MNIST, "terms=[]"), sets=5),
    "mnist-4-neither": Case("MNIST, guidance alone, same KL weight", 4, (*MNIST, *PLAIN), sets=5),
    "mnist-4-whole": Case("MNIST, 54,000 images", 4, MNIST[:1], sets=3),
    **{
        f"mnist-all-in-{d}": Case(
            f"MNIST, {d} dimensions, whole lines",
            45,
            (*MNIST, f"latent.dim={d}", *WIDE),
            sets=1,
        )
        for d in range(3, CLASSES)
    },
    "mnist-all-in-9-sort": Case(
        "MNIST, 9 dimensions, whole lines, `sort` = 4",
        45,
        (*MNIST, "latent.dim=9", *WIDE, "terms.2.sort=4.0"),
        sets=1,
    ),
}
AS_BEFORE = ("mnist-4", "mnist-9", "mnist-4-let-go", "fashion-4", "fashion-9")
CASES |= {
    f"{name}-lines": replace(
        CASES[name],
        title=f"{CASES[name].title}, whole lines",
        changes=(*CASES[name].changes, *LINES),
    )
    for name in AS_BEFORE
}
SHOWN = "mnist-9", "fashion-4"
"""The cases of the pictures, the first set of each."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="where the runs are or shall be")
    parser.add_argument("cases", nargs="*", default=list(CASES), help="which; all if none")
    parser.add_argument("--train-only", action="store_true", help="leave the document as it is")
    options = parser.parse_args()
    wanted = any(SILHOUETTES[0] in CASES[name].changes for name in options.cases)
    if wanted and not LETTERS.exists():
        letters.write(LETTERS)
    for name in options.cases:
        for folder in runs_of(options.runs, name):
            print(folder, flush=True)
    if not options.train_only:
        write_below_mark(DOCS / "borders.md", "benchmarks/borders.py", document(options.runs))


def lattice_pairs(number: int) -> list[tuple[int, int]]:
    """The neighbours in a triangular lattice's rows of three, four and three places, to which the
    classes are dealt at random: no ten points of a plane have more than these 19 pairs at the
    smallest distance (Harborth, Elemente der Mathematik 29, 1974)."""
    rows = ((0.5, 1.5, 2.5), (0.0, 1.0, 2.0, 3.0), (0.5, 1.5, 2.5))
    places = [(x, row * 3**0.5 / 2) for row, xs in enumerate(rows) for x in xs]
    random.Random(number).shuffle(places)
    near = [(a, b) for b in range(CLASSES) for a in range(b) if dist(places[a], places[b]) < 1.1]
    return sorted(near)


def random_pairs(count: int, number: int) -> list[tuple[int, int]]:
    """So many random pairs of ten classes, the same for the same number: a planar graph as far as
    a plane can hold so many, and all pairs at 45."""
    import networkx

    draw = random.Random(100 * count + number)
    graph = networkx.Graph()
    edges = [(a, b) for a in range(CLASSES) for b in range(a)]
    draw.shuffle(edges)
    for edge in edges:
        if graph.number_of_edges() == count:
            break
        graph.add_edge(*edge)
        if count <= 3 * CLASSES - 6 and not networkx.check_planarity(graph)[0]:
            graph.remove_edge(*edge)
    return sorted((min(edge), max(edge)) for edge in graph.edges)


def runs_of(runs: Path, name: str) -> Iterator[Path]:
    """The finished runs of a case; those that are not there are trained now.

    Sets of pairs that no plan holds are refused by the recipe, and the next ones taken: which ones
    hangs on the data, for plans go by what is alike there. Those that are kept are not tried again.
    """
    from dvae_core import RecipeError

    case, found = CASES[name], 0
    known = kept()["refused"].get(name, [])
    for number in range(1, TRIED + 1):
        if found == case.sets:
            return
        folder = runs / f"{name}-{number}"
        refused = runs / f"{name}-{number}.refused"
        if number in known or refused.exists():
            continue
        begun = folder.exists()
        try:
            finished(folder, ROOT / "recipes/borders.toml", settings(case, number))
        except RecipeError as error:
            if begun:
                raise
            refused.write_text(str(error))
            continue
        found += 1
        yield folder


def settings(case: Case, number: int) -> list[str]:
    drawn = lattice_pairs(number) if case.pairs == LATTICE else random_pairs(case.pairs, number)
    pairs = json.dumps(drawn)
    return [
        f"pairs={pairs}",
        f"seed={200 + number}",
        f"evaluate.metrics=[{{name='borders', pairs={pairs}}}]",
        "evaluate.plots=['regions']",
        *case.changes,
    ]


@dataclass(frozen=True)
class Found:
    """What the runs of a case came to, from their last rows, on the test images."""

    median: float
    """Of the direct paths of all runs' named pairs."""
    lowest: list[float]
    """The named pair of each run that has the fewest."""
    knn_accuracy: float
    reconstruction: float
    kl: float
    run: str

    @classmethod
    def of(cls, folders: Sequence[Path]) -> Found:
        from dvae_core import RunFolder

        rows = [RunFolder.open(folder).metrics()[-1] for folder in folders]
        prefix = "test/direct_path/"
        shares = [[v for k, v in row.items() if k.startswith(prefix)] for row in rows]
        means = (
            statistics.fmean(row[f"test/{name}"] for row in rows)
            for name in ("knn_accuracy", "reconstruction", "kl")
        )
        return cls(
            statistics.median(share for run in shares for share in run),
            sorted(min(run) for run in shares),
            *means,
            run=max(stamp_of(folder) for folder in folders),
        )

    def line(self, case: Case) -> str:
        """The case's row of the table."""
        told = " ".join(f"{share:.2f}".lstrip("0") for share in self.lowest)
        return (
            f"| {case.title} | {case.pairs} | {len(self.lowest)} | {self.median:.2f} "
            f"| {told} | {self.knn_accuracy:.3f} | {self.reconstruction:.2f} | {self.kl:.2f} |"
        )


def results(runs: Path) -> tuple[dict[str, Found], dict[str, list[int]]]:
    """By case, and the sets of each that no plan holds: those that are kept, with those of the
    finished runs in a folder, which are kept from now on."""
    before = kept()
    found = {name: Found(**of) for name, of in before["cases"].items()}
    for name in CASES:
        done = finished_runs(runs, name)
        if done and len(done) >= len(found[name].lowest if name in found else []):
            found[name] = Found.of(done)
    refused = before["refused"]
    for marker in runs.glob("*.refused"):
        name, _, number = marker.stem.rpartition("-")
        refused[name] = sorted({*refused.get(name, []), int(number)})
    cases = {name: asdict(found[name]) for name in CASES if name in found}
    text = json.dumps({"cases": cases, "refused": refused}, indent=1)
    (RESULTS / "borders.json").write_text(text + "\n", encoding="utf-8")
    return found, refused


def kept() -> dict[str, Any]:
    """What `results` has written."""
    known: dict[str, Any] = json.loads((RESULTS / "borders.json").read_text(encoding="utf-8"))
    return known


def document(runs: Path) -> list[str]:
    from dvae_core import RunFolder

    lines = [
        "| data | pairs | sets | direct paths, median | lowest pair of each set | k-NN "
        "| reconstruction | KL, nats |",
        "|---|---|---|---|---|---|---|---|",
    ]
    found, refused = results(runs)
    lines += [found[name].line(case) for name, case in CASES.items() if name in found]
    ran = ", ".join(sorted({of.run for of in found.values()}))
    parts = [
        f"## Figures\n\nBy `python -m benchmarks.borders --runs DIR`, {ran}, on 2 cores with AVX2. "
        "Every set has random pairs, but for the lattice's, and a seed of its own; MNIST and "
        "Fashion-MNIST have 20,000 of their training images, of which a tenth is for validation. "
        "k-NN, reconstruction and KL are means over the sets, on the test "
        "images.",
        "\n".join(lines),
    ]
    if refused:
        told = ", ".join(
            f"{len(sets)} sets of {CASES[name].pairs} pairs ({CASES[name].title})"
            for name, sets in refused.items()
        )
        parts.append(f"Left out, for no plan was found that holds them: {told}.")
    for name in SHOWN:
        for folder in finished_runs(runs, name)[:1]:
            shown = RunFolder.open(folder)
            picture = shown.figure_path(shown.metrics()[-1]["epoch"], "regions")
            save_picture(picture.read_bytes(), f"borders-{name}")
        title = f"{CASES[name].title}, {CASES[name].pairs} named pairs, and the plan"
        parts.append(f"![regions: {title}](images/borders-{name}.png)")
    return parts


def finished_runs(runs: Path, name: str) -> list[Path]:
    """Of a case, and not of one whose name begins alike; by their numbers."""
    from dvae_core import RunFolder

    there = [file.parent for file in runs.glob(f"{name}-*/run.json")]
    numbered = {int(end): f for f in there if (end := f.name.removeprefix(f"{name}-")).isdigit()}
    return [f for _, f in sorted(numbered.items()) if RunFolder.open(f).status == "finished"]


if __name__ == "__main__":
    main()
