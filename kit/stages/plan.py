"""The whole job: every stage of a run in order, what each one needs, and what is left to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kit.config import Config
from kit.errors import KitError
from kit.files import read_json
from kit.run import Run, WouldRunError
from kit.stages.family import ATTRIBUTES, OBJECTS, Family
from kit.stages.images import listed_once, say_left_out
from kit.stages.splits import SplitName


@dataclass(frozen=True)
class Step:
    """A stage of a run: how to do it, and the steps before it. figure: the metric that the table shows."""

    name: str
    work: Callable[[Run, bool], Any]
    after: tuple[str, ...] = ()
    figure: str = ""


@dataclass(frozen=True)
class State:
    """A step's state: finished, started or to do; seconds it took, here or in a run beside; its figure."""

    step: Step
    state: str
    seconds: float | None
    figure: str


def training_steps(config: Config) -> list[Step]:
    """All steps of `kit train all`, in order."""
    from kit.stages import attribute, detector, final, pairs, relation

    names, attributes = list(config.detector.models), config.attribute.models
    scorer = config.relation.combine
    for name in attributes:
        detector.detector_model(config, name)
    steps = [Step("prior", relation.prior_stage, figure="pairs")]
    for name in names:
        work = partial(_named, detector.detector_stage, name=name)
        steps.append(Step(f"detector-{name}", work, figure="mAP"))
    steps += detection_steps(config, "val", OBJECTS)
    for name in attributes:
        work = partial(_named, attribute.attribute_stage, name=name)
        steps.append(Step(f"attribute-{name}", work, (f"detector-{name}",), "mAP"))
    steps += detection_steps(config, "val", ATTRIBUTES)
    boxes: tuple[str, ...] = ("prior",)
    if config.relation.train_boxes == "predicted":
        for split in ("train", "stack"):
            steps += detection_steps(config, split, OBJECTS)
        boxes = ("prior", "fuse-train", "fuse-stack")
        steps[0] = Step("prior", relation.prior_stage, ("fuse-train",), "pairs")
    steps.append(Step("spatial", relation.spatial_stage, boxes, "trees"))
    stack_after = ["spatial"]
    if names and config.relation.visual:
        after = (f"detector-{relation.visual_model(config)}", *boxes)
        steps.append(Step("visual", relation.visual_stage, after, "loss"))
        stack_after.append("visual")
    steps.append(Step("stack", relation.stack_stage, (*stack_after, *boxes[1:]), "fallbacks"))
    if names:
        found = ["fuse-val", *(["attribute_fuse-val"] if attributes else [])]
        work = partial(_scored, pairs.pairs_stage, split="val", scorer=scorer)
        steps.append(Step("pairs-val", work, ("stack", *found), "pairs"))
        steps.append(
            Step("final", partial(_scored, final.final_stage, scorer=scorer), ("pairs-val",), "Recall@50")
        )
    return _in_order(steps)


def detection_steps(config: Config, split: SplitName, family: Family) -> list[Step]:
    """Detection of every model of a family on a split, and their fusion."""
    from kit.stages import detection, fusion

    names = family.names(config)
    if not names:
        return []
    steps = []
    for name in names:
        work = partial(_detect, detection.detect_stage, split=split, name=name, family=family)
        trained = (f"{family.training}-{name}",)
        steps.append(Step(f"{family.detection}-{split}-{name}", work, trained, "pictures_per_second"))
    after = tuple(step.name for step in steps)
    if split != "val":
        after = (*after, *(f"{family.detection}-val-{name}" for name in names))
    fuse = partial(_fuse, fusion.fuse_stage, split=split, family=family)
    return [*steps, Step(f"{family.fusion}-{split}", fuse, after, "fused")]


def detections_of(run: Run, split: SplitName, families: Sequence[Family] = (OBJECTS, ATTRIBUTES)) -> None:
    """Detect and fuse a split's pictures, objects and attributes, as far as that is not done."""
    if split == "test" and run.config.data.test.detections:
        return
    for family in families:
        for step in detection_steps(run.config, split, family):
            step.work(run, False)
        for name in family.names(run.config):
            say_left_out(run, split, f"{family.detection}-{split}-{name}")


@listed_once()
def states(run: Run, steps: Sequence[Step], again: Sequence[Step] = ()) -> list[State]:
    """What is finished and what is to do, without doing anything; again: steps that are done in any case."""
    out: list[State] = []
    todo = {step.name for step in again}
    for step in steps:
        finished = step.name not in todo and not todo & set(step.after) and _is_fresh(run, step)
        if not finished:
            todo.add(step.name)
        record = run.finished(step.name) or _beside(run, step.name)
        figure = _figure(record, step) if finished else ""
        begun = "started" if (run.path / f".{step.name}.part").exists() else "to do"
        out.append(State(step, "finished" if finished else begun, record.get("seconds"), figure))
    return out


def _figure(record: dict[str, Any], step: Step) -> str:
    """The step's main number with its name."""
    value = record.get("metrics", {}).get(step.figure)
    if value is None:
        return ""
    return f"{step.figure} {round(value, 4) if isinstance(value, float) else value}"


def chosen(steps: Sequence[Step], only: Sequence[str], first: str | None) -> list[Step]:
    """The steps named, or those from one on. Raises KitError on a name that no step has, and on both."""
    names = [step.name for step in steps]
    if only and first:
        raise KitError("--only and --from exclude each other", "give one of them")
    for name in [*only, *([first] if first else [])]:
        if name not in names:
            raise KitError(f"no stage {name}", f"stages: {', '.join(names)}")
    if only:
        return [step for step in steps if step.name in only]
    return list(steps[names.index(first) :] if first else steps)


def _is_fresh(run: Run, step: Step) -> bool:
    try:
        with run.probing():
            step.work(run, False)
    except (WouldRunError, KitError):
        return False
    return True


def _beside(run: Run, name: str) -> dict[str, Any]:
    """The record of the stage in the newest run folder beside this one, for its time."""
    files = run.path.absolute().parent.glob(f"*/{name}/stage.json")
    for path in sorted(files, key=_changed, reverse=True):
        with suppress(KitError):
            record = read_json(path, dict)
            if isinstance(record.get("seconds"), (int, float)):
                return record
    return {}


def _changed(path: Path) -> float:
    """When a file was changed; 0 where it is gone meanwhile."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _in_order(steps: list[Step]) -> list[Step]:
    """The steps, each after all that it needs, otherwise as given."""
    out: list[Step] = []
    left = list(steps)
    while left:
        done = {step.name for step in out}
        ready = next(step for step in left if set(step.after) <= done)
        left.remove(ready)
        out.append(ready)
    return out


def _named(work: Callable[..., Any], run: Run, force: bool, *, name: str) -> Any:
    return work(run, name, force)


def _scored(work: Callable[..., Any], run: Run, force: bool, **options: Any) -> Any:
    return work(run, force=force, **options)


def _detect(
    work: Callable[..., Any], run: Run, force: bool, *, split: SplitName, name: str, family: Family
) -> Any:
    return work(run, split, name, force, family)


def _fuse(work: Callable[..., Any], run: Run, force: bool, *, split: SplitName, family: Family) -> Any:
    return work(run, split, force, family)
