"""Stages at work: alone or together, and what a device without memory for them says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kit.base.errors import KitError, first_line
from kit.pipeline.stage import Metrics, StageContext

LOWER = "lower batch_size, size (of the training or the views) or max_detections, or set precision=bfloat16"


def at_work(contexts: Sequence[StageContext]) -> Sequence[Metrics]:
    """Do the work of stages, together where they are several; the metrics of each.

    Raises KitError, with what to lower, where a GPU has too little memory.
    """
    if not contexts:
        return []
    first = contexts[0].stage
    with _memory_told(", ".join(context.stage.name for context in contexts)):
        if len(contexts) == 1 or first.together is None:
            return [context.stage.work(context) for context in contexts]
        return first.together.work(contexts)


@contextmanager
def _memory_told(names: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # torch's, which is not loaded for its name
            raise
        raise KitError(f"{names}: the GPU is out of memory ({first_line(error)})", LOWER) from error
