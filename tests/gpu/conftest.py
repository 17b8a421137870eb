"""The device of these tests; KIT_GPU_TESTS_DEVICE=cpu tries the tests themselves without a card."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="session")
def device() -> str:
    """The device under test. Skips where there is none."""
    chosen = os.environ.get("KIT_GPU_TESTS_DEVICE", "cuda")
    if chosen == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA: torch sees no GPU")
    return chosen


@pytest.fixture(autouse=True)
def whole_float32(device: str) -> Iterator[None]:
    """float32 with all its bits, as on the CPU: convolutions take TF32 by default."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before
