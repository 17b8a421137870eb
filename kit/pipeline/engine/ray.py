"""The work of stages given to a Ray cluster: shards to workers on its nodes, tasks to processes there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from kit.base.progress import track
from kit.config import Engine
from kit.pipeline.engine.cluster import connect, share_of
from kit.pipeline.engine.node import Place, ShardWorker
from kit.pipeline.engine.pool import Piece, Pool
from kit.pipeline.engine.sharded import Results, ShardResult, Todo, sharded_work
from kit.pipeline.engine.tasked import tasked_work

if TYPE_CHECKING:
    from kit.pipeline.stage import StageContext


class RayEngine:
    """A Ray cluster, which this process is connected with for as long as it lives."""

    def __init__(self, settings: Engine) -> None:
        self.settings = settings

    def results(self, contexts: Sequence[StageContext], todo: Todo) -> Results:
        """Yield every shard as it comes; the workers end with the last one, or when the caller has enough.

        Raises KitError, with its stages and number, for a shard whose workers die again and again.
        """
        connect(self.settings)
        stages = [context.stage.name for context in contexts]
        text = sharded_work(contexts[0]).text or ", ".join(stages)
        results = self._shards(contexts, stages, todo)
        yield from track(results, sum(len(names) for _, names in todo), text)

    def _shards(
        self, contexts: Sequence[StageContext], stages: Sequence[str], todo: Todo
    ) -> Iterator[ShardResult]:
        share = share_of(self.settings, contexts[0].stage.device)
        place = Place.of(contexts[0].run, share.cpus)
        pieces = [Piece(partial(tuple, each), f"{', '.join(each[1])}, shard {each[0]}") for each in todo]
        pool = Pool(self.settings, share, ", ".join(stages), ShardWorker, (place, stages), pieces)
        for node, result in pool.results():
            yield replace(result, node=node)

    def do_tasks(self, context: StageContext) -> None:
        """Do the tasks of a stage, step by step, those of a step side by side. Raises KitError where one fails."""
        from kit.pipeline.engine.node_tasks import do_step

        connect(self.settings)
        for step in tasked_work(context).steps:
            do_step(context, step)
