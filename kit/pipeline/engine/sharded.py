"""Stages that are made shard by shard: what they declare, what an engine gives, how it is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from kit.base.log import logger
from kit.base.parallel import ordered_map
from kit.base.threads import cpu_count
from kit.tables.shards import SHARDS, shard_bytes, shard_path, write_shard_bytes

if TYPE_CHECKING:
    from kit.pipeline.stage import Metrics, StageContext
    from kit.tables.schema import Table

Todo = Sequence[tuple[int, Sequence[str]]]  # numbers of shards, each with the stages that lack it
Results = Generator["ShardResult", None, None]


@dataclass(frozen=True)
class Part:
    """What a shard gives: its rows; images that it could not look at, with the reason; figures to be added up."""

    table: Table
    skipped: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ShardResult:
    """A shard of a stage, to be kept.

    content: of its Parquet file; figures: to be added up; node: of the cluster that made it, "" for here.
    """

    stage: str
    number: int
    content: bytes
    skipped: Mapping[str, str]
    figures: Mapping[str, float]
    node: str = ""

    @classmethod
    def of(cls, stage: str, number: int, part: Part) -> ShardResult:
        """The result of a part of a stage."""
        return cls(stage, number, shard_bytes(part.table), part.skipped, part.figures)


DoShards = Callable[[Todo], Iterator[ShardResult]]
Open = Callable[[Sequence["StageContext"]], DoShards]


@dataclass(frozen=True)
class ShardedWork:
    """The work of a stage, shard by shard; a shard hangs on nothing but its number and what the stage reads.

    count: of all shards; open: loads once what all need, for one stage or for those that are made together; it
    writes nothing. finish: gives the metrics once all shards are there, from the sums of their figures. text: of
    the line of progress, "" where the work shows its own; device: a setting's value, what it computes on.
    """

    count: Callable[[StageContext], int]
    open: Open
    finish: Callable[[StageContext, Mapping[str, float]], Metrics]
    text: str = ""


class Engine(Protocol):
    """What makes shards, and does the tasks of a stage."""

    def results(self, contexts: Sequence[StageContext], todo: Todo) -> Results:
        """Yield every shard to do of every stage that lacks it, in any order. Raises what the work raises."""
        ...

    def do_tasks(self, context: StageContext) -> None:
        """Do the tasks of a stage that gain by it; the stage's own end does the others."""
        ...


def by_shard(prepare: Callable[[StageContext], Callable[[int], Part]]) -> Open:
    """One shard after another of one stage, in threads. prepare: loads what all need, and gives what makes one."""
    return partial(_opened, prepare)


def _opened(
    prepare: Callable[[StageContext], Callable[[int], Part]], contexts: Sequence[StageContext]
) -> DoShards:
    (context,) = contexts
    return partial(_in_threads, context.stage.name, prepare(context))


def _in_threads(stage: str, one: Callable[[int], Part], todo: Todo) -> Iterator[ShardResult]:
    def result(number: int) -> ShardResult:
        with named(stage, number):
            return ShardResult.of(stage, number, one(number))

    return ordered_map(result, [number for number, _ in todo], cpu_count())


@contextmanager
def named(stage: str, number: int) -> Iterator[None]:
    """Inside, an error is told with the shard that it comes from."""
    try:
        yield
    except Exception as error:
        error.add_note(f"{stage}, shard {number}")
        raise


def sharded_work(context: StageContext) -> ShardedWork:
    """The work of a stage that is made shard by shard."""
    work = context.stage.work
    assert isinstance(work, ShardedWork)
    return work


def make_shards(contexts: Sequence[StageContext], engine: Engine) -> list[Metrics]:
    """Make the shards that stages lack, and keep each as soon as it is there; the metrics of the stages."""
    todo = _todo(contexts)
    lacking = {name for _, names in todo for name in names}
    by_name = {context.stage.name: context for context in contexts}
    sums = {name: Counter[str]() for name in by_name}
    if todo:
        at_work = [context for context in contexts if context.stage.name in lacking]
        with closing(engine.results(at_work, todo)) as results:
            for result in results:
                _keep(by_name[result.stage], result)
                sums[result.stage].update(result.figures)
    return [_finished(context, sums[name]) for name, context in by_name.items()]


def _todo(contexts: Sequence[StageContext]) -> Todo:
    """The numbers of the shards that are not there, each with the stages that lack it."""
    lacking: dict[int, list[str]] = {}
    for context in contexts:
        total = sharded_work(context).count(context)
        left = [i for i in range(total) if not shard_path(context.path / SHARDS, i).exists()]
        if len(left) < total:
            logger.info(f"{context.stage.name}: going on after {total - len(left)} of {total} shards")
        for number in left:
            lacking.setdefault(number, []).append(context.stage.name)
    return sorted(lacking.items())


def _finished(context: StageContext, sums: Mapping[str, float]) -> Metrics:
    """The metrics of a stage whose shards are all there."""
    from kit.detector.annotated_images import SKIPPED, sort_skipped

    sort_skipped(context.path / SKIPPED)
    return sharded_work(context).finish(context, sums)


def _keep(context: StageContext, result: ShardResult) -> None:
    """Write down what a shard left out, then the shard: one that is there is never done again."""
    if result.skipped:
        from kit.detector.annotated_images import SKIPPED, record_skipped

        for image, why in result.skipped.items():
            record_skipped(context.path / SKIPPED, image, why)
    write_shard_bytes(context.path / SHARDS, result.number, result.content)
    if result.node:
        context.nodes[result.node] += 1
