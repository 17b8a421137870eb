"""Shards made by a Ray cluster: processes on its nodes, each with one shard at a time; what dies is done again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kit.base.errors import KitError
from kit.base.log import logger, warn_once
from kit.base.progress import track
from kit.config import Engine
from kit.pipeline.engine.cluster import (
    Node,
    Share,
    check_room,
    connect,
    elsewhere,
    nodes,
    others_with_room,
    share_of,
)
from kit.pipeline.engine.lost import Lost, lost
from kit.pipeline.engine.node import Outcome, Place, ShardWorker
from kit.pipeline.engine.sharded import Results, ShardResult, Todo, sharded_work
from kit.pipeline.engine.tasked import tasked_work

if TYPE_CHECKING:
    from kit.pipeline.stage import StageContext

LOOK = 1.0  # seconds between two looks at the nodes
PATIENCE = 20.0  # seconds that a shard waits for a worker on another node than those where it died


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
        share = share_of(self.settings, contexts[0].stage.device)
        place = Place.of(contexts[0].run, share.cpus)
        pool = _Pool(self.settings, share, place, stages, [_Shard(*each) for each in todo])
        text = sharded_work(contexts[0]).text or ", ".join(stages)
        yield from track(pool.results(), sum(len(names) for _, names in todo), text)

    def do_tasks(self, context: StageContext) -> None:
        """Do the tasks of a stage, step by step, those of a step side by side. Raises KitError where one fails."""
        from kit.pipeline.engine.node_tasks import do_step

        connect(self.settings)
        for step in tasked_work(context).steps:
            do_step(context, step)


@dataclass(eq=False)
class _Shard:
    """A shard to make. tries: how often its worker died; avoided: ids of the nodes where it did."""

    number: int
    names: Sequence[str]
    tries: int = 0
    avoided: set[str] = field(default_factory=set)
    since: float = 0.0

    def __str__(self) -> str:
        return f"{', '.join(self.names)}, shard {self.number}"

    def welcome(self, worker: _Worker) -> bool:
        """Whether it has not died on a worker's node."""
        return worker.node is None or worker.node.id not in self.avoided


@dataclass(eq=False)
class _Worker:
    """A process on a node. node: None until it has said where it is; shard: what it makes now."""

    actor: Any
    node: Node | None = None
    shard: _Shard | None = None


class _Pool:
    """The workers of one work, and the shards that wait for them."""

    def __init__(
        self, settings: Engine, share: Share, place: Place, stages: Sequence[str], shards: Sequence[_Shard]
    ) -> None:
        self.settings, self.share, self.place, self.stages = settings, share, place, stages
        self.waiting = deque(shards)
        self.idle: list[_Worker] = []
        self.busy: dict[Any, _Worker] = {}  # by what it is to give: its node, or a shard
        self.false_starts = 0

    def results(self) -> Iterator[ShardResult]:
        """Yield every shard."""
        import ray

        try:
            while self.waiting or any(worker.shard for worker in self.busy.values()):
                self._hire()
                self._assign()
                if not self.busy:  # Ray would not wait for nothing
                    time.sleep(LOOK)
                    continue
                ready, _ = ray.wait(list(self.busy), timeout=LOOK)
                for result in ready:
                    yield from self._take(result)
        finally:
            for worker in (*self.idle, *self.busy.values()):
                ray.kill(worker.actor)

    def _hire(self) -> None:
        """Start workers, as many as the nodes hold and the shards keep at work."""
        import ray

        there = nodes()
        room = self.settings.workers or max(1, sum(map(self.share.room, there)))
        check_room(self.settings, self.share, there, ", ".join(self.stages))
        kind: Any = ray.remote(ShardWorker)
        hired = len(self.idle) + len(self.busy)
        for shard in list(self.waiting)[: max(0, room - hired)]:
            if self._able() >= len(self.waiting):
                break
            actor = kind.options(
                num_cpus=self.share.cpus,
                num_gpus=self.share.gpus,
                scheduling_strategy=elsewhere(there, shard.avoided, self.share),
            ).remote(self.place, self.stages, logger.getEffectiveLevel())
            self.busy[actor.node.remote()] = _Worker(actor)

    def _able(self) -> int:
        """How many workers wait, or start, that are where not every waiting shard has died."""
        free = [*self.idle, *(worker for worker in self.busy.values() if worker.shard is None)]
        return sum(any(shard.welcome(worker) for shard in self.waiting) for worker in free)

    def _assign(self) -> None:
        """Give shards to idle workers, first to those on nodes where they have not died."""
        for worker in list(self.idle):
            self._give(worker, next((shard for shard in self.waiting if shard.welcome(worker)), None))
        there = nodes() if self.idle and self.waiting else []
        for worker in list(self.idle):
            self._give(worker, next((shard for shard in self.waiting if self._must_make(shard, there)), None))

    def _give(self, worker: _Worker, shard: _Shard | None) -> None:
        if shard is not None:
            self.waiting.remove(shard)
            self.idle.remove(worker)
            worker.shard = shard
            self.busy[worker.actor.make.remote(shard.number, shard.names)] = worker

    def _must_make(self, shard: _Shard, there: Sequence[Node]) -> bool:
        """Whether a shard has waited for long enough for a node where it has not died, or there is none."""
        late = time.monotonic() - shard.since > PATIENCE
        return late or not others_with_room(there, shard.avoided, self.share)

    def _take(self, reference: Any) -> Iterator[ShardResult]:
        """Yield what a worker gives, once it has its next shard; or put its shard back."""
        import ray

        worker = self.busy.pop(reference)
        shard, worker.shard = worker.shard, None
        try:
            given = ray.get(reference)
        except ray.exceptions.RayError as error:
            self._lose(worker, shard, lost(error, worker.node, nodes()))
            return
        if shard is None:
            worker.node = next((node for node in nodes() if node.id == given), Node(given, given[:8], 0, 0))
            self.idle.append(worker)
            self.false_starts = 0
            return
        outcome: Outcome = given
        for notice in outcome.notices:
            warn_once(notice)
        if isinstance(outcome.error, MemoryError):
            ray.kill(worker.actor)
            self._lose(worker, shard, Lost("it ran out of memory"))
            return
        if outcome.error is not None:
            raise outcome.error
        self.idle.append(worker)
        self._assign()
        assert worker.node is not None
        for result in outcome.results:
            yield replace(result, node=worker.node.name)

    def _lose(self, worker: _Worker, shard: _Shard | None, why: Lost) -> None:
        """Have the shard of a worker that died done again. Raises KitError where that was tried often enough."""
        if why.final:
            starts = f"{', '.join(self.stages)}: no worker can start ({why.text})"
            raise KitError(f"{shard}: {why.text}" if shard else starts, why.hint)
        if shard is None:
            self.false_starts += 1
            if self.false_starts > self.settings.retries:
                raise KitError(f"{', '.join(self.stages)}: workers die as they start ({why.text})", why.hint)
            return
        shard.tries += 1
        where = worker.node.name if worker.node else "a node"
        if shard.tries > self.settings.retries:
            times = f"{shard.tries} time{'s' * (shard.tries > 1)}"
            raise KitError(f"{shard}: its worker died {times}, at last on {where} ({why.text})", why.hint)
        logger.warning(f"{shard}: its worker on {where} died ({why.text}); it is made again elsewhere")
        shard.avoided |= {worker.node.id} if worker.node else set()
        shard.since = time.monotonic()
        self.waiting.appendleft(shard)
