"""An array that grows at its end, in little more memory than it needs."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)
SHARE = 8  # the room is this part larger than what is needed


class Growing(Generic[T]):
    """Numbers that come in parts, one after the other."""

    def __init__(self, dtype: type[T]) -> None:
        """Without any."""
        self._values, self._count = np.empty(0, dtype), 0

    def extend(self, part: NDArray[Any]) -> None:
        """Put numbers at the end."""
        count = self._count + len(part)
        if count > len(self._values):  # large memory is moved by its addresses alone
            self._values.resize(count + count // SHARE, refcheck=False)
        self._values[self._count : count] = part
        self._count = count

    def done(self) -> NDArray[T]:
        """All of them; it is empty then."""
        values, count = self._values, self._count
        self._values, self._count = np.empty(0, values.dtype), 0
        values.resize(count, refcheck=False)
        return values
