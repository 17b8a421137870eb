"""The device of a setting, and the precision of its arithmetic."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from kit.base.errors import KitError
from kit.config import Precision

TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def device_of(name: str) -> torch.device:
    """The device of a setting: auto is the GPU where there is one. Raises KitError where there is none."""
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise KitError(f"detector.device is {name}, but torch sees no GPU", "set it to auto or cpu")
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def mixed_precision(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """The autocast context of a precision."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=TYPES[precision])


def memory_format(device: torch.device) -> torch.memory_format:
    """Channels last on a GPU, whose convolutions want it; as it comes on a CPU."""
    return torch.channels_last if device.type == "cuda" else torch.preserve_format
