"""A colour for each class, the same in every picture."""

from __future__ import annotations

# Paul Tol, "Colour Schemes" (SRON/EPS/TN/09-002), muted, and a dark grey: ten colours that stay
# apart for colour-blind eyes.
PALETTE = (
    "#332288", "#88ccee", "#cc6677", "#117733", "#ddcc77",
    "#aa4499", "#44aa99", "#882255", "#999933", "#555555",
)  # fmt: skip


def class_colours(count: int) -> list[str]:
    """As many colours, as hex strings."""
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(c) for c in colormaps["turbo"](np.linspace(0.02, 0.98, count))]
