"""Random draws that depend on a seed and a number alone: no resumed training, no other worker changes them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_by(*key: int) -> None:
    """Seed Python's, numpy's and torch's generators (every device) by whole numbers of at least 0."""
    words = np.random.SeedSequence(key).generate_state(6)
    random.seed(int(words[0]) << 32 | int(words[1]))
    np.random.seed(words[2:4])
    torch.manual_seed(int(words[4]) << 32 | int(words[5]))


@contextmanager
def drawn_by(*key: int) -> Iterator[None]:
    """Inside, Python's and numpy's draws depend on the key alone; afterwards their generators go on as before."""
    words = np.random.SeedSequence(key).generate_state(4)
    before, before_numpy = random.getstate(), np.random.get_state()
    random.seed(int(words[0]) << 32 | int(words[1]))
    np.random.seed(words[2:])
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(before_numpy)
