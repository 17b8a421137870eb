"""Workers on the nodes of a Ray cluster, each with one piece of a work at a time; what dies is done again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kit.base.errors import KitError
from kit.base.log import logger, warn_once
from kit.config import Engine
from kit.pipeline.engine.cluster import Node, Share, check_room, elsewhere, nodes, others_with_room
from kit.pipeline.engine.lost import Lost, lost
from kit.pipeline.engine.node import NodeWorker, Outcome

if TYPE_CHECKING:
    from ray.actor import ActorHandle

R = TypeVar("R")  # what a piece gives
LOOK = 1.0  # seconds between two looks at the nodes
PATIENCE = 20.0  # seconds that a piece waits for a worker on another node than those where it died


@dataclass(eq=False)
class Piece:
    """A piece of a work. arguments: gives those of a worker's `make`; name: for messages.

    tries: how often its worker died; avoided: ids of the nodes where it did.
    """

    arguments: Callable[[], Sequence[object]]
    name: str
    tries: int = 0
    avoided: set[str] = field(default_factory=set)
    since: float = 0.0

    def __str__(self) -> str:
        return self.name

    def welcome(self, worker: Worker) -> bool:
        """Whether it has not died on a worker's node."""
        return worker.node is None or worker.node.id not in self.avoided


@dataclass(eq=False)
class Worker:
    """A process on a node. node: None until it has said where it is; piece: what it makes now."""

    actor: ActorHandle[NodeWorker[Any]]
    node: Node | None = None
    piece: Piece | None = None


class Pool(Generic[R]):
    """The workers of one work, and the pieces that wait for them.

    name: of the work, for messages; kind, arguments: a worker's class, and what it is made with; share: what it
    takes.
    """

    def __init__(
        self,
        settings: Engine,
        share: Share,
        name: str,
        kind: type[NodeWorker[R]],
        arguments: Sequence[object],
        pieces: Sequence[Piece],
    ) -> None:
        self.settings, self.share, self.name = settings, share, name
        self.kind, self.arguments = kind, arguments
        self.waiting = deque(pieces)
        self.idle: list[Worker] = []
        self.busy: dict[Any, Worker] = {}  # by what it is to give: its node, or a piece
        self.false_starts = 0

    def results(self) -> Generator[tuple[str, R]]:
        """Yield what every piece gives, with the name of the node that made it.

        The workers end with the last one, or when the caller has enough. Raises KitError for a piece whose workers
        die again and again, and what a worker raises.
        """
        import ray

        try:
            while self.waiting or any(worker.piece for worker in self.busy.values()):
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
        """Start workers, as many as the nodes hold and the pieces keep at work."""
        import ray

        there = nodes()
        room = max(1, sum(map(self.share.room, there)))
        if self.settings.workers and (self.share.most is None or self.settings.workers < room):
            room = self.settings.workers
        check_room(self.settings, self.share, there, self.name)
        kind: Any = ray.remote(self.kind)
        hired = len(self.idle) + len(self.busy)
        for piece in list(self.waiting)[: max(0, room - hired)]:
            if self._able() >= len(self.waiting):
                break
            actor = kind.options(
                num_cpus=self.share.cpus,
                num_gpus=self.share.gpus,
                scheduling_strategy=elsewhere(there, piece.avoided, self.share),
            ).remote(logger.getEffectiveLevel(), *self.arguments)
            self.busy[actor.node.remote()] = Worker(actor)

    def _able(self) -> int:
        """How many workers wait, or start, that are where not every waiting piece has died."""
        free = [*self.idle, *(worker for worker in self.busy.values() if worker.piece is None)]
        return sum(any(piece.welcome(worker) for piece in self.waiting) for worker in free)

    def _assign(self) -> None:
        """Give pieces to idle workers, first to those on nodes where they have not died."""
        for worker in list(self.idle):
            self._give(worker, next((piece for piece in self.waiting if piece.welcome(worker)), None))
        there = nodes() if self.idle and self.waiting else []
        for worker in list(self.idle):
            self._give(worker, next((piece for piece in self.waiting if self._must_make(piece, there)), None))

    def _give(self, worker: Worker, piece: Piece | None) -> None:
        if piece is not None:
            self.waiting.remove(piece)
            self.idle.remove(worker)
            worker.piece = piece
            self.busy[worker.actor.make.remote(*piece.arguments())] = worker

    def _must_make(self, piece: Piece, there: Sequence[Node]) -> bool:
        """Whether a piece has waited for long enough for a node where it has not died, or there is none."""
        late = time.monotonic() - piece.since > PATIENCE
        return late or not others_with_room(there, piece.avoided, self.share)

    def _take(self, reference: Any) -> Iterator[tuple[str, R]]:
        """Yield what a worker gives, once it has its next piece; or put its piece back."""
        import ray

        worker = self.busy.pop(reference)
        piece, worker.piece = worker.piece, None
        try:
            given = ray.get(reference)
        except ray.exceptions.RayError as error:
            self._lose(worker, piece, lost(error, worker.node, nodes()))
            return
        if piece is None:
            worker.node = next((node for node in nodes() if node.id == given), Node(given, given[:8], 0, 0))
            self.idle.append(worker)
            self.false_starts = 0
            return
        outcome: Outcome[R] = given
        for notice in outcome.notices:
            warn_once(notice)
        if isinstance(outcome.error, MemoryError):
            ray.kill(worker.actor)
            self._lose(worker, piece, Lost("it ran out of memory"))
            return
        if outcome.error is not None:
            raise outcome.error
        self.idle.append(worker)
        self._assign()
        assert worker.node is not None
        for result in outcome.results:
            yield worker.node.name, result

    def _lose(self, worker: Worker, piece: Piece | None, why: Lost) -> None:
        """Have the piece of a worker that died done again. Raises KitError where that was tried often enough."""
        if why.final:
            starts = f"{self.name}: no worker can start ({why.text})"
            raise KitError(f"{piece}: {why.text}" if piece else starts, why.hint)
        if piece is None:
            self.false_starts += 1
            if self.false_starts > self.settings.retries:
                raise KitError(f"{self.name}: workers die as they start ({why.text})", why.hint)
            return
        piece.tries += 1
        where = worker.node.name if worker.node else "a node"
        if piece.tries > self.settings.retries:
            times = f"{piece.tries} time{'s' * (piece.tries > 1)}"
            raise KitError(f"{piece}: its worker died {times}, at last on {where} ({why.text})", why.hint)
        logger.warning(f"{piece}: its worker on {where} died ({why.text}); it is made again elsewhere")
        piece.avoided |= {worker.node.id} if worker.node else set()
        piece.since = time.monotonic()
        self.waiting.appendleft(piece)
