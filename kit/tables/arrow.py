"""Arrow columns as numpy arrays and back, without pyarrow's own conversions: these would import pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class DictionaryEncoder:
    """Texts as small integers; with `known` a closed set, else numbered as they appear."""

    def __init__(self, known: dict[str, int] | None = None) -> None:
        self.closed = known is not None
        self.index: dict[str, int] = dict(known or {})

    def encode(self, column: pa.DictionaryArray) -> NDArray[np.int32]:
        """Codes of a dictionary-coded column, -1 for a text outside a closed set."""
        codes = self.codes(column.dictionary.to_pylist())
        return codes[as_numpy(column.indices)] if len(codes) else np.full(len(column), -1, np.int32)

    def codes(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Codes of texts, -1 for one outside a closed set."""
        if self.closed:
            return np.asarray([self.index.get(text, -1) for text in texts], np.int32)
        return np.asarray([self.index.setdefault(text, len(self.index)) for text in texts], np.int32)


def as_numpy(column: pa.Array) -> NDArray[Any]:
    """The values of an Arrow number column without nulls."""
    dtype = np.dtype(str(column.type).replace("double", "float64"))
    return np.frombuffer(column.buffers()[1], dtype)[column.offset : column.offset + len(column)]


def as_indices(rows: NDArray[np.int64]) -> pa.Array:
    """Row numbers (int64) as Arrow takes them in `take`."""
    return pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(rows)])
