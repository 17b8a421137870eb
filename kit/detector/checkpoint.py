"""Checkpoints in and out: weights and the names of their classes, no code."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kit.errors import FileFault
from kit.files import whole

State = dict[str, Tensor]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content, read under torch's weights_only default. Raises FileFault."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise FileFault(path, "no such file") from None
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        reason = (str(error) or "empty").splitlines()[0][:100]
        raise FileFault(path, f"not a checkpoint ({reason})") from None
    if not isinstance(checkpoint, dict):
        raise FileFault(path, "not a checkpoint: it holds no weights")
    return checkpoint


def read_state(path: Path) -> State:
    """The weights of a checkpoint. Raises FileFault."""
    checkpoint = read_checkpoint(path)
    state = checkpoint.get("state_dict", checkpoint)
    if not state or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise FileFault(path, "not a checkpoint: it holds no weights")
    return dict(state)


def write_state(path: Path, state: State, classes: Sequence[str]) -> None:
    """Write weights with the names of their classes, loadable under torch's weights_only default."""
    with (
        whole(path) as part,
        part.open("wb") as file,
    ):  # given a path, torch would write its name into the file
        torch.save({"meta": {"dataset_meta": {"classes": list(classes)}}, "state_dict": state}, file)
