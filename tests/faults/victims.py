"""The commands that are killed: what each begins with, and its words."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from kit.config import Config, load_config
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.vocabulary import PREDICATES
from tests.conftest import FAST, FEW, TINY
from tests.faults.command import ROOT, Command, start
from tests.stages import set_words

RUN = Path("runs/r")
LITTLE = (
    *TINY,
    *FEW,
    "data.test.detections=[]",
    "detector.training.workers=1",
    "detector.inference.workers=1",
)
SETTINGS = {
    "fast": FAST,
    "few": LITTLE,
    "fast-two": (  # processes that learn together
        *FAST,
        *(f"relation.{model}.processes=2" for model in ("spatial", "stack")),
        "relation.spatial.rounds=6",
        "relation.spatial.early_stopping_interval=3",
    ),
    "few-two": (*LITTLE, "relation.visual.processes=2", "relation.visual.checkpoint_minutes=0"),
}
SMALL = (
    "data.mini={train: 130, stack: 4, val: 4, test: 4, source: 10, side: 32, seed: 3}"  # in several processes
)


class SetupError(Exception):
    """An undisturbed command did not do what it is for."""


@dataclass
class World:
    """What the commands begin with, below a folder: the tiny challenge, and undisturbed runs, made when asked for.

    url: of a server of the challenge's files.
    """

    folder: Path
    url: str = ""
    _made: dict[str, Path] = field(default_factory=dict)

    @cached_property
    def data(self) -> Path:
        """The folder with `data/mini` in it."""
        place = self.folder / "challenge"
        if not (place / "data/mini/test-detections.csv").exists():
            place.mkdir(exist_ok=True)
            build = "from pathlib import Path; from tests.conftest import build_tiny; build_tiny(Path())"
            subprocess.run(
                [sys.executable, "-c", build],
                cwd=place,
                check=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        return place / "data"

    def run(self, kind: str, *commands: Sequence[str]) -> Path:
        """A folder with a run in it that undisturbed commands made."""
        name = "-".join([kind, *(word.lstrip("-") for words in commands for word in words)])
        place = self.folder / name.replace("/", "_")
        if not (place / "made").exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            (place / "data").symlink_to(self.data)
            for words in commands:
                undisturbed(start([*words, *options(kind)], place))
            (place / "made").touch()
        return place


def options(kind: str) -> list[str]:
    """The options that name the run and its settings."""
    return ["--run", str(RUN), *set_words(*SETTINGS[kind])]


def undisturbed(command: Command) -> None:
    """Wait for a command that has to succeed, in one piece. Raises SetupError."""
    code = command.wait()
    if code or "Traceback" in command.err:
        raise SetupError(f"exit code {code}: {command.err[-2000:]}")
    if left := command.left():
        raise SetupError(f"processes are left: {left}")


@dataclass(frozen=True)
class Victim:
    """A command. words: of it; begin: puts what it begins with into a folder.

    local: one by this machine alone that leaves the same but the configuration.
    """

    name: str
    words: Callable[[World], Sequence[str]]
    begin: Callable[[World, Path], None]
    local: Victim | None = None


def config(kind: str) -> Config:
    """The configuration of a kind of settings, which reads no data."""
    return load_config("mini", SETTINGS[kind])


def training(kind: str) -> list[str]:
    """The stages of `kit train all`."""
    return Pipeline(Run(config(kind), Path("nowhere"))).training


def timing_files() -> dict[str, tuple[str, ...]]:
    """Of every stage, the files that hold times."""
    pipeline = Pipeline(Run(config("few"), Path("nowhere")))
    return {name: stage.timing_files for name, stage in pipeline.stages.items()}


def victims() -> list[Victim]:
    """All of them."""
    return [
        _training("train-all", "fast"),
        *(_training(f"train-{stage}", "fast", stage) for stage in training("fast")),
        _training("train-all-jobs", "fast", None, "--jobs", "2"),
        _training("train-stack-jobs", "fast", "stack", "--jobs", "2"),
        *_with_ray(),
        _after("predict", "fast", "predict", "--split", "test"),
        _after("submit", "fast", "submit", "--dry-run"),
        Victim("download-mini", lambda _: _mini_words(), lambda _world, _folder: None),
        Victim("download", _download_words, lambda _world, _folder: None),
        *(_training(f"fast-two-{stage}", "fast-two", stage) for stage in ("spatial", "stack")),
        *(_training(f"few-{stage}", "few", stage) for stage in training("few")),
        _training("few-two-visual", "few-two", "visual"),
        _training("few-train-all", "few"),
        _training("few-train-all-jobs", "few", None, "--jobs", "2"),
        _after("few-predict", "few", "predict", "--split", "test"),
        _after("few-submit", "few", "submit", "--dry-run"),
        Victim("few-predict-photos", _photo_words, _with_models),
    ]


def _with_ray() -> list[Victim]:
    """The same by the engine of Ray, where Ray is installed (kit[ray]): whole, and stages that nodes share."""
    if find_spec("ray") is None:
        return []
    ray = ("--set", "engine.kind=ray")
    begun = (
        ("train-all", "fast", None),
        ("train-spatial", "fast", "spatial"),
        ("train-stack", "fast", "stack"),
        ("few-train-all", "few", None),
        ("few-detect-val-hrnet", "few", "detect-val-hrnet"),
        ("few-visual", "few", "visual"),
    )
    return [
        replace(_training(f"{name}-ray", kind, stage, *ray), local=_training(name, kind, stage))
        for name, kind, stage in begun
    ]


def _training(name: str, kind: str, stage: str | None = None, *more: str) -> Victim:
    """`kit train all`, of a stage alone where one is given: all that it needs is there."""
    words = ["train", "all", *(["--only", stage] if stage else []), *more, *options(kind)]

    def begin(world: World, folder: Path) -> None:
        (folder / "data").symlink_to(world.data)
        if stage:
            shutil.copytree(world.run(kind, ["train", "all"]) / RUN, folder / RUN)
            pipeline = Pipeline(Run(config(kind), folder / RUN))
            for other in pipeline.descendants(stage, pipeline.stages):
                shutil.rmtree(folder / RUN / other, ignore_errors=True)

    return Victim(name, lambda _: words, begin)


def _after(name: str, kind: str, *words: str) -> Victim:
    """A command that uses a run whose training is finished."""

    def begin(world: World, folder: Path) -> None:
        (folder / "data").symlink_to(world.data)
        shutil.copytree(world.run(kind, ["train", "all"]) / RUN, folder / RUN)

    return Victim(name, lambda _: [*words, *options(kind)], begin)


def _with_models(world: World, folder: Path) -> None:
    shutil.copytree(world.run("few", ["train", "all"]) / RUN, folder / RUN)
    photos = sorted((world.data / "mini/challenge2018").glob("*.jpg"))[:6]
    (folder / "photos").mkdir()
    for photo in photos:
        shutil.copy2(photo, folder / "photos")


def _photo_words(_world: World) -> list[str]:
    return ["predict", "photos", "--run", str(RUN), "--out", "found", "--top", "2"]


def _mini_words() -> list[str]:
    return ["download", *set_words(SMALL)]


def _download_words(world: World) -> list[str]:
    """Annotations and photos of the training split, from the mirror."""
    files = {"relations": "vrd", "boxes": "vrd-bbox", "labels": "vrd-labels"}
    names = ", ".join(f"{key}: data/challenge-2019-train-{end}.csv" for key, end in files.items())
    mirror = f"mirror: '{world.url}', attempts: 2, backoff: 0.01, read_timeout: 20, concurrency: 4"
    return [
        *("download", "all", "--split", "train", "--predicates", ",".join(PREDICATES), "--config", "layer6"),
        *set_words(
            "data.root=data",
            f"data.download={{{mirror}}}",
            f"data.train={{{names}, images: data/train}}",
            *(f"data.{split}={{}}" for split in ("stack", "val", "test")),
            *("data.hierarchy=null", "detector.models={}", "attribute.models=[]", "relation.visual=null"),
        ),
    ]
