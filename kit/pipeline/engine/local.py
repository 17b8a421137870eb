"""Shards made in this process: threads, bounded memory, results in the order of the shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kit.base.progress import track
from kit.pipeline.engine.sharded import Results, Todo, sharded_work

if TYPE_CHECKING:
    from kit.pipeline.stage import StageContext


class LocalEngine:
    """Makes shards in the process that asks for them."""

    def results(self, contexts: Sequence[StageContext], todo: Todo) -> Results:
        """Yield every shard, in order."""
        work = sharded_work(contexts[0])
        results = work.open(contexts)(todo)
        yield from track(results, sum(len(names) for _, names in todo), work.text) if work.text else results

    def do_tasks(self, context: StageContext) -> None:
        """Leave them to the end of the stage: what they share is then made once."""
