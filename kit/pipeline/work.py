"""Stages at work: alone or together, and what a device without memory for them says."""

from __future__ import annotations

from collections.abc import Sequence

from kit.base.errors import KitError, first_line
from kit.base.log import logger
from kit.pipeline.engine.local import LocalEngine
from kit.pipeline.engine.sharded import Engine, ShardedWork, make_shards
from kit.pipeline.engine.tasked import TaskedWork
from kit.pipeline.stage import Metrics, StageContext

LOWER = (
    "lower batch_size, size (of the training or the views), image_size (of the visual model) or max_detections, "
    "or set precision=bfloat16"
)


def at_work(contexts: Sequence[StageContext], engine: Engine | None = None) -> Sequence[Metrics]:
    """Do the work of stages, together where they are several and fit into a GPU's memory; the metrics of each.

    engine: makes shards and does tasks; default this process. Raises KitError, with what to lower, where a GPU
    has too little memory.
    """
    if not contexts:
        return []
    engine = engine or LocalEngine()
    together = contexts[0].stage.together
    if len(contexts) > 1 and together is not None:
        try:
            return together.work(contexts) if together.work else make_shards(contexts, engine)
        except RuntimeError as error:
            if not _is_memory(error):
                raise
        names = ", ".join(context.stage.name for context in contexts)
        logger.warning(f"{names}: the GPU has too little memory for all at once: one after another")
        _free_memory()
    return [_alone(context, engine) for context in contexts]


def _alone(context: StageContext, engine: Engine) -> Metrics:
    try:
        return _done(context, engine)
    except RuntimeError as error:
        if not _is_memory(error):
            raise
        name = context.stage.name
        raise KitError(f"{name}: the GPU is out of memory ({first_line(error)})", LOWER) from error


def _done(context: StageContext, engine: Engine) -> Metrics:
    work = context.stage.work
    if isinstance(work, ShardedWork):
        return make_shards([context], engine)[0]
    if isinstance(work, TaskedWork):
        engine.do_tasks(context)
        return work.finish(context)
    return work(context)


def _is_memory(error: RuntimeError) -> bool:
    return type(error).__name__ == "OutOfMemoryError"  # torch's, which is not loaded for its name


def _free_memory() -> None:
    """Give back what the models of a work that failed held."""
    import gc

    import torch

    gc.collect()
    torch.cuda.empty_cache()
