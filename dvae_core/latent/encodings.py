"""What a run makes of images: where they lie, whose that is, and how far off they come back."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dvae_core.errors import more_packages

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Encodings:
    """What a run makes of P images; D latent dimensions, K classes. See `LoadedRun.encodings`."""

    classes: tuple[str, ...]
    """The names of the K classes."""
    mean: np.ndarray
    """float32 [P, D]."""
    log_var: np.ndarray
    """float32 [P, D]."""
    reconstruction: np.ndarray
    """float32 [P]: the recipe's reconstruction loss between an image and what is decoded at its
    mean, summed over channels and pixels. A conditional decoder is shown no class."""
    head: np.ndarray | None
    """float32 [P, K]: the guidance head's probabilities at the means; None without guidance."""
    latent_judge: np.ndarray | None = None
    """int64 [P]: the class that wins the vote of the nearest training means, void or not; None
    where the run's data cannot be had."""
    void: np.ndarray | None = None
    """bool [P]: whether the mean lies where no class counts."""
    image_judge: np.ndarray | None = None
    """float32 [P, K]: the image judge's probabilities of the images themselves."""
    names: tuple[str, ...] = ()
    """What the P images are called; numbers if it is empty."""
    labels: np.ndarray | None = None
    """int64 [P]: the true classes where they are known, and -1; None where none is."""

    def __len__(self) -> int:
        return len(self.mean)

    def arrays(self) -> dict[str, np.ndarray]:
        """All that there is, by the names above."""
        given = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if not self.names:
            del given["names"]
        return {name: np.asarray(value) for name, value in given.items() if value is not None}

    def columns(self) -> dict[str, list[Any]]:
        """The same as a table with a row for each image: numbers, truths, and classes by name.

        `image`; `label` where labels are known, None where one is not; `mean_1`, ..., `log_var_1`,
        ..., `reconstruction`; then `latent_judge` and `void`, `image_judge` and `head`, the latter
        two with a `_probability`, where they are.
        """
        found: dict[str, list[Any]] = {"image": list(self.names or range(len(self)))}
        if self.labels is not None:
            found["label"] = self._named(self.labels)
        for name in ("mean", "log_var"):
            for number, column in enumerate(getattr(self, name).T, 1):
                found[f"{name}_{number}"] = column.tolist()
        found["reconstruction"] = self.reconstruction.tolist()
        if self.latent_judge is not None and self.void is not None:
            found["latent_judge"] = self._named(self.latent_judge)
            found["void"] = self.void.tolist()
        for name in ("image_judge", "head"):
            probabilities = getattr(self, name)
            if probabilities is not None:
                found[name] = self._named(probabilities.argmax(axis=1))
                found[f"{name}_probability"] = probabilities.max(axis=1).tolist()
        return found

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the table."""
        columns = self.columns()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def to_pandas(self) -> pandas.DataFrame:
        """The table.

        Raises:
            DvaeError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise more_packages("a DataFrame", "tables", error) from error
        return pandas.DataFrame(self.columns())

    def to_bytes(self, suffix: str) -> bytes:
        """What a file that ends in .npz (`arrays`), .csv or .parquet (the table) holds.

        Raises:
            DvaeError: a package is not installed.
            KeyError: there is no such format.
        """
        return FORMATS[suffix](self)

    def _named(self, classes: np.ndarray) -> list[str | None]:
        return [self.classes[c] if c >= 0 else None for c in classes]


def _npz(encodings: Encodings) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **encodings.arrays())
    return buffer.getvalue()


def _csv(encodings: Encodings) -> bytes:
    columns = encodings.columns()
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def _parquet(encodings: Encodings) -> bytes:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise more_packages("a .parquet file", "tables", error) from error
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(encodings.columns()), buffer)
    return buffer.getvalue()


FORMATS: dict[str, Callable[[Encodings], bytes]] = {
    ".npz": _npz,
    ".csv": _csv,
    ".parquet": _parquet,
}
