"""The names of the splits."""

from __future__ import annotations

from typing import Literal, get_args

SplitName = Literal["train", "stack", "val", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
