"""Which images rows come from that are read part by part, against those that are expected."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit.tables.image_ids import Unmatched, explained
from kit.tables.image_index import BLOCK, ImageIndex
from kit.tables.schema import Table


class FoundImages:
    """Of every expected image whether it has rows: a byte each; of other images the ids."""

    def __init__(self, expected: ImageIndex) -> None:
        self.expected, self.own = expected, np.zeros(len(expected), bool)
        self.others: dict[str, bool] = {}

    def places(self, part: Table) -> NDArray[np.int32]:
        """Of every row the place of its image among the expected ones, int32 (n,); -1 where it is another."""
        place = self.expected.places(part.images)
        has = np.bincount(part.image, minlength=len(part.images)) > 0
        self.own[place[has & (place >= 0)]] = True
        for i in np.flatnonzero(place < 0).tolist():
            name = part.images[i]
            self.others[name] = self.others.get(name, False) or bool(has[i])
        return place[part.image]

    def strange(self) -> Unmatched | None:
        """What is to be said of the images with rows that are not expected; None where all are."""
        strange = [name for name, has in self.others.items() if has]
        blocks = (self.expected.names(i, i + BLOCK) for i in range(0, len(self.expected), BLOCK))
        total = int(self.own.sum()) + len(strange)
        return explained(strange, total, (name for block in blocks for name in block))
