"""Millions of image ids in few bytes: the place of an id among them, and the id at a place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

BLOCK = 1 << 16  # ids that are texts at the same time


class ImageIndex:
    """Distinct ids in an order of their own; each takes twice the bytes of the longest one, and four."""

    def __init__(self, ids: Sequence[str] | pa.StringArray) -> None:
        """Of ids without a zero byte at their end, which no image's has."""
        blocks = [_encoded(ids[i : i + BLOCK]) for i in range(0, len(ids), BLOCK)]
        self._ids: NDArray[np.bytes_] = np.concatenate(blocks) if blocks else np.zeros(0, "S1")
        order = np.argsort(self._ids, kind="stable")
        self._sorted, self._order = self._ids[order], order.astype(np.int32)

    @classmethod
    def of(cls, ids: ImageIndex | Sequence[str]) -> ImageIndex:
        """The index of ids, which may be one already."""
        return ids if isinstance(ids, ImageIndex) else cls(ids)

    def __len__(self) -> int:
        return len(self._ids)

    def names(self, start: int = 0, stop: int | None = None) -> tuple[str, ...]:
        """The ids at some places."""
        return tuple(name.decode("utf-8", "surrogatepass") for name in self._ids[start:stop].tolist())

    def places(self, names: Sequence[str]) -> NDArray[np.int32]:
        """The place of every name, int32 (n,); -1 for one that is not among the ids."""
        if not len(self) or not len(names):
            return np.full(len(names), -1, np.int32)
        width = self._ids.itemsize
        cut = [name.encode("utf-8", "surrogatepass")[: width + 1] for name in names]
        wanted = np.array(cut, self._ids.dtype)
        fits = np.char.str_len(wanted) == np.fromiter(map(len, cut), np.int64, len(cut))
        place = np.minimum(np.searchsorted(self._sorted, wanted), len(self) - 1)
        return np.where(fits & (self._sorted[place] == wanted), self._order[place], np.int32(-1))


def _encoded(names: Sequence[str] | pa.StringArray) -> NDArray[Any]:
    """Names as bytes, each with as much room as the longest needs."""
    texts = names.to_pylist() if isinstance(names, pa.Array) else names
    return np.array([text.encode("utf-8", "surrogatepass") for text in texts], np.bytes_)
