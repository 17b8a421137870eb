"""The stages of a run in order: which are fresh, which are stale and why, and making them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from kit.base.errors import KitError
from kit.base.log import logger, warn_once
from kit.data.photos import is_photo_folder
from kit.pipeline.changes import differences
from kit.pipeline.distributed import shared_attempt
from kit.pipeline.engine.choice import engine_of, node_here
from kit.pipeline.engine.tasked import TaskedWork
from kit.pipeline.images import images_key, listed_once
from kit.pipeline.order import in_order, next_group
from kit.pipeline.ranks import ranks_kept
from kit.pipeline.record import rehearsed_seconds, sibling_record
from kit.pipeline.run import Run
from kit.pipeline.stage import FileInput, FolderInput, ImagesInput, Input, Stage, StageContext, require
from kit.pipeline.stage_registry import declared_stages
from kit.pipeline.work import at_work

Fingerprint = dict[str, Any]
State = Literal["finished", "started", "stale", "to do"]


@dataclass(frozen=True)
class Status:
    """A stage's state. reasons: why it is stale; missing: inputs that are not there, each with its cure."""

    stage: Stage
    state: State
    reasons: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class Pipeline:
    """The stages that a run's config asks for, each after all that it needs.

    Raises KitError, one line, for a need that no stage has, a name that two have, and a cycle.
    """

    def __init__(self, run: Run, stages: Iterable[Stage] | None = None) -> None:
        """stages: default all that are registered."""
        self.run = run
        self.stages = in_order(list(declared_stages(run.config) if stages is None else stages))

    @cached_property
    def training(self) -> list[str]:
        """The names of the stages that `kit train all` makes: those that train, and all that these need."""
        return self.closure([name for name, stage in self.stages.items() if stage.trains])

    def stage(self, name: str) -> Stage:
        """A stage by its name. Raises KitError where there is none."""
        if name not in self.stages:
            raise KitError(f"no stage {name}", f"stages: {', '.join(self.training)}")
        return self.stages[name]

    def closure(self, names: Iterable[str]) -> list[str]:
        """The stages and all that they need, in order."""
        wanted, todo = set[str](), list(names)
        while todo:
            name = todo.pop()
            if name not in wanted:
                wanted.add(name)
                todo += self.stage(name).needs
        return [name for name in self.stages if name in wanted]

    def descendants(self, name: str, among: Collection[str]) -> list[str]:
        """A stage and those among some that need it, directly or not, in order."""
        found = {self.stage(name).name}
        for other in self.stages:
            if other in among and found & set(self.stages[other].needs):
                found.add(other)
        return [other for other in self.stages if other in found]

    def folder(self, name: str) -> Path:
        """The folder of a finished stage. Raises KitError, with the command that makes it, where it is not."""
        return self.run.folder(name, self.stage(name).command)

    def fingerprint(self, stage: Stage, record: dict[str, Any] | None = None) -> Fingerprint:
        """What a stage is made from: settings, version, inputs by content, needs by the content of their results.

        No path, no time and no release of kit is in it. record: of the finished stage, whose images stand for
        those of a folder that is there no more. Raises KitError where another input is missing.
        """
        computed = stage.computed(self.run) if stage.computed else {}
        settings = json.loads(json.dumps({**stage.settings, **computed}, default=str))
        before = record["fingerprint"].get("inputs", {}) if record else {}
        return {
            "version": stage.version,
            "settings": settings,
            "inputs": {given.setting: self._content(given, before) for given in stage.inputs},
            "needs": {name: (self.run.record(name) or {}).get("id") for name in stage.needs},
        }

    def _content(self, given: Input, before: dict[str, Any]) -> Any:
        if given.setting in before and _folder_gone(given):
            return before[given.setting]
        require(given)
        if isinstance(given, FileInput):
            return self.run.hashes.of(_path(given.path))
        if isinstance(given, FolderInput):
            return self.run.hashes.of_folder(given.folder, given.pattern)
        assert isinstance(given, ImagesInput)
        named = "\n".join([given.choice, *map(self.run.hashes.of, given.named_by)])
        return images_key(self.run, _path(given.folder), named, given.wanted)

    @listed_once()
    def status(
        self, names: Iterable[str], again: Collection[str] = (), *, alone: bool = False
    ) -> list[Status]:
        """The state of stages and of all that they need, without doing anything; again: stages to be redone.

        alone: of these stages only, as `do` sees them: what they need has to be finished, fresh or not.
        """
        found: dict[str, Status] = {}
        names = set(names)
        for name in [n for n in self.stages if n in names] if alone else self.closure(names):
            stage = self.stages[name]
            waits = [need for need in stage.needs if need in found and found[need].state != "finished"]
            found[name] = self._status(stage, waits, name in again, self._unmade(stage, found))
        return list(found.values())

    def _unmade(self, stage: Stage, known: Collection[str]) -> tuple[str, ...]:
        """The needs that are neither finished nor known to be made before, each with its command."""
        needs = [need for need in stage.needs if need not in known and self.run.record(need) is None]
        return tuple(
            f"stage {need} is not there; run `kit {self.stages[need].command}` first" for need in needs
        )

    def _status(self, stage: Stage, waits: Sequence[str], again: bool, unmade: tuple[str, ...]) -> Status:
        record = self.run.record(stage.name)
        if record and not waits and not again and not unmade:
            reasons = self._reasons(stage, record)
            if not reasons:
                return Status(stage, "finished")
        else:
            reasons = tuple(f"after {name}" for name in waits)
        given = (i.missing() for i in (*stage.inputs, *stage.watched))
        missing = (*unmade, *(text for text in given if text))
        if record:
            return Status(stage, "stale", ("asked for",) if again else reasons, missing)
        if fault := self.run.fault(stage.name):
            return Status(stage, "stale", (fault,), missing)
        return Status(stage, "started" if self.run.begun(stage.name) else "to do", (), missing)

    def _reasons(self, stage: Stage, record: dict[str, Any]) -> tuple[str, ...]:
        try:
            return differences(record["fingerprint"], self.fingerprint(stage, record))
        except KitError as error:
            return (str(error),)

    def is_fresh(self, name: str) -> bool:
        """Whether a stage is finished and was made from what is there now."""
        record = self.run.record(name)
        return record is not None and not self._reasons(self.stage(name), record)

    def make(self, names: Sequence[str], *, force: Collection[str] = ()) -> dict[str, dict[str, Any]]:
        """Bring stages up to date, and what they need as far as that is implicit; their records, by name.

        force: stages to do again though they are fresh. Raises KitError, before any work, for an input that is
        not there and for a need that the user has to ask for first.
        """
        todo = self.with_implicit(names)
        self.check_inputs(todo, force)
        self.require(todo)
        self.do_all(todo, force)
        return {name: self.run.record(name) or {} for name in names}

    def with_implicit(self, names: Sequence[str]) -> list[str]:
        """Stages and the implicit ones on the way to them, in order."""
        plan = self.closure(names)
        return self._needed([name for name in plan if name in names or self.stages[name].implicit], names)

    def check_inputs(self, todo: Sequence[str], force: Collection[str] = ()) -> None:
        """Raise KitError, with its cure, where stages to do lack an input: before any work.

        Also where one was interrupted under another number of processes.
        """
        for status in self.status(todo, force, alone=True):
            if status.state != "finished" and status.stage.name not in force:
                self.run.check_processes(status.stage.name, status.stage.settings, whole=False)
            for given in (*status.stage.inputs, *status.stage.watched) if status.state != "finished" else ():
                require(given)

    def _needed(self, todo: Sequence[str], names: Sequence[str]) -> list[str]:
        """The stages to bring up to date: those named, and implicit ones on the way to them."""
        wanted = set(names)
        for name in reversed(todo):
            if name in wanted:
                wanted |= {need for need in self.stages[name].needs if self.stages[need].implicit}
        return [name for name in todo if name in wanted]

    def require(self, todo: Sequence[str]) -> None:
        """Raise KitError where stages to do need one that is neither among them nor finished."""
        for name in todo:
            for need in self.stages[name].needs:
                if need not in todo:
                    self.folder(need)
                    self._say_stale(need)

    def _say_stale(self, name: str) -> None:
        reasons = self._reasons(self.stages[name], self.run.record(name) or {"fingerprint": {}})
        if reasons:
            command = self.stages[name].command
            warn_once(f"note: {name} is stale ({reasons[0]}); `kit {command}` would make it again")

    def do(self, name: str, *, force: bool = False, resume: bool = False) -> dict[str, Any]:
        """Do one stage unless it is fresh; its record. Raises KitError where a need is not finished.

        force: though it is fresh; resume: then too from what an interrupted try left, which is else thrown away.
        """
        self._do_together([name], [name] if force else (), resume=resume)
        return self.run.record(name) or {}

    def do_task(self, name: str, task: str) -> None:
        """Do a task of a stage that another process is making now."""
        stage = self.stage(name)
        assert isinstance(stage.work, TaskedWork)
        with self.run.helping(name, task) as path:
            stage.work.do(StageContext(stage, self.run, path), task)

    def do_all(self, names: Sequence[str], force: Collection[str] = ()) -> None:
        """Do stages that are not fresh, in order; those that can be made together by one work.

        Raises KitError where a need is not finished.
        """
        left = list(names)
        with ranks_kept():
            while left:
                group = next_group(self.stages, left)
                self._do_together(group, force)
                left = [name for name in left if name not in group]

    def _do_together(self, names: Sequence[str], force: Collection[str], *, resume: bool = False) -> None:
        """Do those of some stages that are not fresh, in one work where they are several."""
        stages = [stage for stage in map(self.stage, names) if not self._is_kept(stage, stage.name in force)]
        with ExitStack() as stack:
            contexts = []
            for stage in stages:
                fingerprint = self.fingerprint(stage)
                logger.debug(f"{stage.name}: made from {json.dumps(fingerprint)}")
                again = stage.name in force and not resume
                attempt = stack.enter_context(shared_attempt(self.run, stage, fingerprint, force=again))
                if attempt:
                    attempt.share = 1 / len(stages)
                    contexts.append((StageContext(stage, self.run, attempt.path), attempt))
            engine = engine_of(self.run.config)
            for (context, attempt), metrics in zip(
                contexts, at_work([c for c, _ in contexts], engine), strict=True
            ):
                attempt.metrics, attempt.nodes = metrics, context.nodes or node_here()

    def _is_kept(self, stage: Stage, force: bool) -> bool:
        """Whether a stage is finished and fresh, and not forced. Raises KitError where a need is not finished."""
        for need in stage.needs:
            self.folder(need)
        record = self.run.record(stage.name)
        if not record or force or record["fingerprint"] != self.fingerprint(stage, record):
            return False
        for folder in filter(None, map(_folder_gone, stage.inputs)):
            warn_once(
                f"note: {folder}: no such folder of images: the finished {stage.name} is taken as it is"
            )
        logger.debug(f"{stage.name}: fresh")
        return True

    def seconds(self, name: str) -> float | None:
        """How long a stage took, here or in the newest run folder beside this one, else what a rehearsal says.

        None where it never ran.
        """
        record = self.run.record(name) or sibling_record(self.run.path, name)
        return record.get("seconds", rehearsed_seconds(self.run.path).get(name))

    def headline(self, name: str) -> str:
        """A finished stage's main metric with its name."""
        stage = self.stages[name]
        value = (self.run.record(name) or {}).get("metrics", {}).get(stage.headline)
        if value is None:
            return ""
        return f"{stage.headline} {round(value, 4) if isinstance(value, float) else value}"


def _folder_gone(given: Input) -> Path | None:
    """A folder of images that is set, and is there no more."""
    if isinstance(given, ImagesInput) and given.folder is not None and not is_photo_folder(given.folder):
        return given.folder
    return None


def _path(path: Path | None) -> Path:
    assert path is not None  # `missing` has told
    return path
