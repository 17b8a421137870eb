"""Arrow columns as numpy arrays and back, without pyarrow's own conversions: these would import pandas."""

from __future__ import annotations

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
        texts = column.dictionary.to_pylist()
        if self.closed:
            codes = [self.index.get(text, -1) for text in texts]
        else:
            codes = [self.index.setdefault(text, len(self.index)) for text in texts]
        if not codes:
            return np.full(len(column), -1, np.int32)
        return np.asarray(codes, np.int32)[as_numpy(column.indices)]


def as_numpy(column: pa.Array) -> NDArray[Any]:
    """The values of an Arrow number column without nulls."""
    dtype = np.dtype(str(column.type).replace("double", "float64"))
    return np.frombuffer(column.buffers()[1], dtype)[column.offset : column.offset + len(column)]


def as_indices(rows: NDArray[np.int64]) -> pa.Array:
    """Row numbers (int64) as Arrow takes them in `take`."""
    return pa.Array.from_buffers(pa.int64(), len(rows), [None, pa.py_buffer(rows)])
