"""What a recipe means where it says nothing: a data set and an encoder are enough."""

from __future__ import annotations

from typing import Any

NAMES = {"reconstruction": "squared_error", "kl": "square"}
"""The component of a table that names none."""
EVALUATE = {
    "metrics": ["knn", "linear_probe", "silhouette", "active_units"],
    "plots": ["latent", "manifold", "reconstructions", "weights"],
}
"""What is measured and drawn where neither list is given; empty lists ask for nothing."""


def with_defaults(table: dict[str, Any]) -> dict[str, Any]:
    """A recipe's table with the components that it leaves out; no value of it is changed.

    >>> with_defaults({"kl": {"weight": 0.5}, "encoder": "mlp", "evaluate": {"plots": []}})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'kl': {'name': 'square', 'weight': 0.5}, 'encoder': 'mlp', 'evaluate': {'plots': []},
     'decoder': {'name': 'mlp'}, 'reconstruction': {'name': 'squared_error'}}
    """
    table = dict(table)
    encoder = table.get("encoder")
    named = encoder.get("name") if isinstance(encoder, dict) else encoder
    if "decoder" not in table and isinstance(named, str):
        table["decoder"] = {"name": named}
    for key, name in NAMES.items():
        if isinstance(given := table.get(key, {}), dict):
            table[key] = {"name": name} | given
    evaluate = table.get("evaluate", {})
    if isinstance(evaluate, dict) and not evaluate.keys() & EVALUATE.keys():
        table["evaluate"] = evaluate | EVALUATE
    return table
