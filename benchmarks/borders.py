"""The border recipes over five seeds, and how many borders can be named: the figures and pictures
of docs/borders.md.

    python -m benchmarks.borders --runs DIR [--pairs] [RECIPE...]

Takes the finished runs that lie in DIR and trains what is missing there: about three minutes a run
on two cores. With --pairs, also the study of how many pairs can be named.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from pathlib import Path
from typing import Any

from benchmarks.documents import DOCS, ROOT, save_picture, stamp, write_below_mark

SEEDS = range(1, 6)
RECIPES = {"mnist_borders": "mnist_mlp_plain", "fashion_borders": "fashion_mlp_plain"}
"""Each with the plain VAE of the same architecture and epochs."""

# The triangular lattice of recipes/mnist_borders.toml and its 19 edges; that recipe's pairs are the
# first four.
LATTICE = {
    0: (-2.6, 2.25), 6: (0, 2.25), 4: (2.6, 2.25),
    2: (-3.9, 0), 8: (-1.3, 0), 5: (1.3, 0), 9: (3.9, 0),
    1: (-2.6, -2.25), 7: (0, -2.25), 3: (2.6, -2.25),
}  # fmt: skip
EDGES = [
    (0, 8), (3, 5), (4, 9), (1, 7), (0, 6), (2, 8), (1, 2), (5, 6), (3, 9), (5, 9), (3, 7),
    (1, 8), (4, 6), (0, 2), (5, 8), (7, 8), (6, 8), (4, 5), (5, 7),
]  # fmt: skip
NAMED = (0, 4, 9, 14, 19)

# As many as a plane can hold: triangles within triangles, each turned by half a turn, around 8.
RINGS = {8: (0.0, 0), 3: (1.2, 90), 5: (1.2, 210), 9: (1.2, 330), 7: (3.2, 30), 2: (3.2, 150),
         4: (3.2, 270), 1: (8.0, 90), 6: (8.0, 210), 0: (8.0, 330)}  # fmt: skip
MAXIMAL = [
    (8, 3), (8, 5), (8, 9), (3, 5), (5, 9), (3, 9), (3, 7), (7, 9), (2, 3), (2, 5), (4, 5), (4, 9),
    (2, 7), (2, 4), (4, 7), (1, 7), (1, 2), (2, 6), (4, 6), (0, 4), (0, 7), (0, 1), (1, 6), (0, 6),
]  # fmt: skip
STUDIES = {
    **{n: (LATTICE, EDGES[:n]) for n in NAMED},
    len(MAXIMAL): (
        {d: (r * math.cos(math.radians(a)), r * math.sin(math.radians(a)))
         for d, (r, a) in RINGS.items()},
        MAXIMAL,
    ),
}  # fmt: skip
"""Where the digits are laid out, and the pairs that are named."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="where the runs are or shall be")
    parser.add_argument("recipes", nargs="*", default=list(RECIPES), help="which; both if none")
    parser.add_argument("--pairs", action="store_true", help="how many pairs can be named, too")
    options = parser.parse_args()
    parts = [recipes_section(options.runs, options.recipes)]
    if options.pairs:
        parts.append(pairs_section(options.runs / "pairs"))
    write_below_mark(DOCS / "borders.md", "benchmarks/borders.py", parts)


def recipes_section(runs: Path, names: list[str]) -> str:
    lines = [
        f"## Figures\n\nMeasured on {stamp()}, by `python -m benchmarks.borders --runs DIR`. "
        "Medians over five seeds, and the range; reconstruction is that of the test images."
    ]
    for name in names:
        plain = RECIPES[name]
        rows = [last_row(run(runs, name, seed)) for seed in SEEDS]
        before = [last_row(run(runs, plain, seed)) for seed in SEEDS]
        keys = [key for key in rows[0] if key.startswith("test/direct_path/")]
        table = [
            f"| `recipes/{name}.toml` | median | range | `{plain}`, median |",
            "|---|---|---|---|",
        ]
        others = ("knn_accuracy", "direct_path_mean", "wholeness", "adjacency", "retention",
                  "decoded_agreement", "morph_mix", "morph_mix_crossfade", "morph_kept_realism",
                  "morph_kept_realism_crossfade", "reconstruction")  # fmt: skip
        for key in [*keys, *(f"test/{other}" for other in others)]:
            values = [row[key] for row in rows if key in row]
            if not values:
                continue
            plain_values = [row[key] for row in before if key in row]
            low, high = number(min(values)), number(max(values))
            beside = number(statistics.median(plain_values)) if plain_values else ""
            label = key.removeprefix("test/")
            table.append(
                f"| {label} | {number(statistics.median(values))} | {low} - {high} | {beside} |"
            )
        lines.append("\n".join(table))
        ratios = [
            100 * mean(rows, f"{part}/reconstruction") / mean(before, f"{part}/reconstruction")
            - 100
            for part in ("train", "test")
        ]
        lines.append(
            f"Reconstruction against the plain VAE, means over the seeds: {ratios[0]:+.1f} % in "
            f"training, {ratios[1]:+.1f} % on the test images."
        )
        lines.append(pictures(run(runs, name, 1), name))
    return "\n\n".join(lines)


def pairs_section(runs: Path) -> str:
    table = [
        "| pairs named | their direct paths: mean | lowest | knn_accuracy | adjacency | "
        "direct_path_mean | reconstruction |",
        "|---|---|---|---|---|---|---|",
    ]
    for n, (_, pairs) in STUDIES.items():
        row = last_row(named_run(runs, n))
        named = [row[f"test/direct_path/{a}-{b}"] for a, b in map(sorted, pairs)]
        shares = (number(sum(named) / n), number(min(named))) if named else ("", "")
        others = ("knn_accuracy", "adjacency", "direct_path_mean", "reconstruction")
        cells = [str(n), *shares, *(number(row[f"test/{key}"]) for key in others)]
        table.append(f"| {' | '.join(cells)} |")
    intro = (
        "## How many borders can be named\n\nUp to 19: the digits on a triangular lattice, whose "
        "edges are named by and by. 24, as many as a plane can hold: triangles within triangles. "
        "Otherwise as `mnist_borders.toml`, with its weight for each pair; seed 1."
    )
    return f"{intro}\n\n" + "\n".join(table)


def run(runs: Path, name: str, seed: int) -> Path:
    """The folder of a recipe's run with a seed, trained if need be."""
    from dvae_core import load_recipe

    for info in sorted(runs.glob(f"{name}-*/run.json")):
        facts = json.loads(info.read_text())
        if facts["status"] == "finished" and facts["seed"] == seed:
            return info.parent
    overrides = [f"seed={seed}", "callbacks=[]"]
    return train(load_recipe(ROOT / "recipes" / f"{name}.toml", overrides), runs)


def named_run(runs: Path, n: int) -> Path:
    from dvae_core import load_recipe

    folder = runs / f"named-{n}"
    found = [p.parent for p in folder.glob("*/run.json") if '"finished"' in p.read_text()]
    if found:
        return found[0]
    recipe = ROOT / "recipes" / "mnist_borders.toml"
    places, named = STUDIES[n]
    coordinates = [list(places[digit]) for digit in range(10)]
    overrides = [
        "callbacks=[]",
        "evaluate.every=25",
        'evaluate.metrics=["borders"]',
        f"kl.coordinates={coordinates}",
    ]
    if n:
        pairs = [[str(a), str(b)] for a, b in named]
        (term,) = load_recipe(recipe).terms
        border: Any = term.component
        # The term is a mean over its pairs.
        weight = term.weight * n / len(border.pairs)
        overrides.append(
            f'terms=[{{name="border", pull={border.pull}, fill={border.fill}, weight={weight}, '
            f"pairs={json.dumps(pairs)}}}]"
        )
    else:
        overrides.append("terms=[]")
    return train(load_recipe(recipe, overrides), folder)


def train(recipe: Any, out: Path) -> Path:
    from dvae_core import run_recipe
    from dvae_core.cli.progress import watch

    with watch() as watcher:
        return run_recipe(recipe, out, watch=watcher).path


def pictures(folder: Path, name: str) -> str:
    """Writes the region map and the first named morph of a run; the lines that show them."""
    from dvae_core import load_run
    from dvae_core.latent.morph import morph
    from dvae_core.latent.morph_picture import draw_morph

    snapshot = load_run(folder).snapshot()
    regions = newest_figure(folder, "regions").read_bytes()
    save_picture(regions, f"{name}-regions")
    a, b = snapshot.named_pairs[0]
    save_picture(draw_morph(snapshot, morph(snapshot, a, b)), f"{name}-morph")
    names = f"{snapshot.classes[a]} to {snapshot.classes[b]}"
    return (
        f"![regions](images/{name}-regions.png)\n\n![a morph from {names}](images/{name}-morph.png)"
    )


def newest_figure(folder: Path, plot: str) -> Path:
    return sorted((folder / "figures").glob(f"epoch-*-{plot}.png"))[-1]


def last_row(folder: Path) -> dict[str, Any]:
    from dvae_core import RunFolder

    return RunFolder.open(folder).metrics()[-1]


def mean(rows: list[dict[str, Any]], key: str) -> float:
    return statistics.mean(row[key] for row in rows)


def number(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"


if __name__ == "__main__":
    main()
