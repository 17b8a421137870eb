"""Checkpoints of a network of the visual model: written, looked for, passed over where they are not whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from kit.base.errors import FileFault
from kit.base.files import atomic_write, read_json
from kit.base.log import logger
from kit.detector.checkpoint import read_checkpoint, read_state
from kit.detector.finite import broken_weight

KEPT = 2  # of a network: the newest may be damaged


def checkpoints(folder: Path, name: str) -> list[tuple[int, Path]]:
    """Those of a network with their steps, the newest first."""
    paths = [(path.name.split(".")[1], path) for path in folder.glob(f"{name}.*.checkpoint")]
    return sorted(((int(step), path) for step, path in paths if step.isdecimal()), reverse=True)


def write_checkpoint(folder: Path, name: str, step: int, state: dict[str, Any]) -> None:
    """Write one after a step, and take older ones away."""
    with atomic_write(folder / f"{name}.{step}.checkpoint") as part:
        torch.save(state, part)
    for _, path in checkpoints(folder, name)[KEPT:]:
        path.unlink()


def resume(folder: Path, name: str, take: Callable[[dict[str, Any]], None]) -> int:
    """Take up the newest whole checkpoint: the steps done, 0 where there is none.

    take: puts its state into the training; raises where it does not fit.
    """
    for step, path in checkpoints(folder, name):
        try:
            state = read_checkpoint(path)
            if broken_weight(state["network"]):
                raise FileFault(path, "its weights are not finite")
            take(state)
        except (FileFault, KeyError, ValueError, TypeError, RuntimeError) as error:
            problem = error.problem if isinstance(error, FileFault) else "not whole"
            logger.warning(f"{path.name} is passed over: {problem}; an older one is looked for")
            continue
        return step
    return 0


def finished_figures(folder: Path, name: str) -> dict[str, Any] | None:
    """The figures of a network that an interrupted stage had finished."""
    path = folder / f"{name}.pth"
    if not path.exists():
        return None
    try:
        read_state(path)
        return read_json(folder / f"{name}.json", dict)
    except FileFault as error:
        logger.warning(f"visual {name} is trained again: {error}")
        return None
