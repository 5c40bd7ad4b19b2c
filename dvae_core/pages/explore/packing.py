"""Arrays and JSON as text that may stand in an HTML page."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np

LEVEL = 5
"""Of packing: the next ones take two and three times as long and make pages 1 and 2 % smaller."""


def pack(array: np.ndarray, *, differences: bool = False) -> dict[str, Any]:
    """An array as JSON: its dtype, its shape, and its bytes (little-endian, zlib, base64).

    With `differences` each row stands as its difference from the row before (modulo 256 for
    uint8), which packs neighbours that are alike much smaller.
    """
    rows = array.reshape(len(array), -1)
    if differences:
        rows = np.diff(rows, axis=0, prepend=np.zeros((1, rows.shape[1]), rows.dtype))
    data = np.ascontiguousarray(rows.astype(rows.dtype.newbyteorder("<"))).tobytes()
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "differences": differences,
        "data": base64.b64encode(zlib.compress(data, LEVEL)).decode(),
    }


def as_bytes(values: np.ndarray) -> np.ndarray:
    """Values in [0, 1] as uint8, rounded; uint8 as it is."""
    if values.dtype == np.uint8:
        return values
    rounded: np.ndarray = np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return rounded


def json_for_script(value: Any) -> str:
    """JSON that no `<script>` element ends early on, whatever a class is called."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
