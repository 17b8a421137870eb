"""What a stage is: a frozen declaration of its work and of everything that its result is made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.base.errors import KitError
from kit.base.remote_place import address_of, shown_place
from kit.data.photos import list_photos

if TYPE_CHECKING:
    from kit.config import Config
    from kit.pipeline.engine.sharded import ShardedWork
    from kit.pipeline.engine.tasked import TaskedWork
    from kit.pipeline.run import Run
    from kit.tables.schema import Table

Metrics = dict[str, Any]
GIVE = "give it with --set {}=FILE"


@dataclass(frozen=True)
class FileInput:
    """A file that a stage reads; it counts by its content, not by its path.

    setting: the key of the config that names it; path: None where that is not set.
    """

    setting: str
    path: Path | None
    hint: str = ""

    def missing(self) -> str | None:
        """What is missing, and how it is given; None where the file is there."""
        if self.path is None:
            return f"{self.setting} is not set; {self.hint or GIVE.format(self.setting)}"
        if not self.path.exists():
            return f"{self.path}: no such file; {self.hint or f'run `kit download`, or set {self.setting}'}"
        if self.path.is_dir():
            return f"{self.path}: a folder, not a file; {self.hint or f'set {self.setting} to a file'}"
        return None


@dataclass(frozen=True)
class FolderInput:
    """Files of a folder that a stage reads; they count by their names and contents, wherever they lie.

    pattern: of the files' names.
    """

    setting: str
    folder: Path
    pattern: str

    def missing(self) -> str | None:
        """What is missing, and how it is given; None where the folder is there."""
        if not self.folder.is_dir():
            return f"{self.folder}: no such folder; set {self.setting}"
        return None


@dataclass(frozen=True)
class ImagesInput:
    """Images that a stage reads; they count by their names and sizes, wherever they lie.

    named_by: the files that say which images are wanted; wanted: their ids, asked for only where the folder or
    these files have changed; choice: tells two choices of images by the same files apart; of_processes: the ids
    where so many processes do the stage together, if more of them read more.
    """

    setting: str
    folder: Path | None
    named_by: tuple[Path, ...]
    wanted: Callable[[], Sequence[str]]
    choice: str = ""
    of_processes: Callable[[int], Sequence[str]] | None = None

    def missing(self) -> str | None:
        """What is missing, and how it is given; None where the folder is there."""
        if self.folder is None:
            return f"{self.setting} is not set; give it with --set {self.setting}=FOLDER"
        if address_of(self.folder) is not None:
            return self._missing_elsewhere(self.folder)
        if not self.folder.is_dir():
            return f"{self.folder}: no such folder of images; run `kit download`, or set {self.setting}"
        if next(self.folder.iterdir(), None) is None:
            return f"{self.folder}: an empty folder; run `kit download`, or set {self.setting}"
        return None

    def _missing_elsewhere(self, folder: Path) -> str | None:
        try:
            there = len(list_photos(folder))
        except KitError as error:
            return str(error)
        return None if there else f"{shown_place(folder)}: no photos there; set {self.setting}"


Input = FileInput | FolderInput | ImagesInput


def require(given: Input) -> None:
    """Raise KitError, with its cure, where an input is missing."""
    if missing := given.missing():
        problem, _, hint = missing.partition("; ")
        raise KitError(problem, hint)


@dataclass(frozen=True)
class Together:
    """How several stages are made by one piece of work, with the results that each would have alone.

    key: that of stages that can be made together; work: gives the metrics of each, in their order; None where
    they are made shard by shard, by the work of any of them.
    """

    key: str
    work: Callable[[Sequence[StageContext]], Sequence[Metrics]] | None = None


@dataclass(frozen=True)
class Stage:
    """A stage of a run, declared.

    work: writes results below `context.path` and returns the stage's metrics, or says how its shards are
    made, or its tasks done; needs: names of the stages whose results it reads; inputs: what its result is made
    from; watched: what it reads beside these to report on its work (validation while it trains), which must be
    there and makes nothing stale; settings: those of the config that its result depends on; computed: more of them,
    which are found by the run's code only where they are compared; version: raised by hand when its code
    changes the result; command: the words after `kit` that make it; headline: the metric that tables show;
    trains: `kit train all` makes it; implicit: it is made whenever a later stage needs it (otherwise the user
    is asked for it first); timing_files: patterns of outputs that hold times or how it was resumed, and do
    not count as results; distributed: all processes of a torchrun do it together; processes: so many of this
    machine do it together, where no torchrun started this one; table: the kind of rows in its shards, if any;
    together: how it is made with others, if it can be; device: what its work computes on, as a setting says
    it.
    """

    name: str
    work: Callable[[StageContext], Metrics] | ShardedWork | TaskedWork
    needs: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()
    watched: tuple[Input, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    computed: Callable[[Run], Mapping[str, Any]] | None = None
    version: int = 1
    command: str = "train all"
    headline: str = ""
    trains: bool = False
    implicit: bool = True
    timing_files: tuple[str, ...] = ()
    distributed: bool = False
    processes: int = 1
    table: Callable[[], type[Table]] | None = None
    together: Together | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class StageContext:
    """A stage at work: where it writes, and the results of the stages that it declared.

    After an interruption `path` still holds the files that were whole; the work may go on from them. nodes: of a
    cluster, with how many shards each has made, or tasks done.
    """

    stage: Stage
    run: Run
    path: Path
    nodes: Counter[str] = field(default_factory=Counter)

    @property
    def config(self) -> Config:
        """The configuration of the run."""
        return self.run.config

    def result(self, name: str) -> Path:
        """The folder of a needed stage's results. Raises KitError for one that was not declared."""
        if name not in self.stage.needs:
            raise KitError(f"stage {self.stage.name} reads {name}, which is not among its needs")
        return self.run.folder(name)
