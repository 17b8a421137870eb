"""Stages made of tasks that can be done apart, each of which leaves files in the stage's folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.pipeline.stage import Metrics, StageContext


@dataclass(frozen=True)
class Step:
    """Tasks that need nothing of each other. device: a setting's value, what they compute on."""

    tasks: tuple[str, ...]
    device: str = "cpu"


@dataclass(frozen=True)
class TaskedWork:
    """The work of a stage in steps, each after those before it, such as a model a predicate.

    do: does one task, by its name, into the stage's folder; what is there of an interrupted try it goes on from.
    finish: does what the tasks have not done, removes what they left beside the results, and gives the metrics.
    """

    steps: tuple[Step, ...]
    do: Callable[[StageContext, str], None]
    finish: Callable[[StageContext], Metrics]


def tasked_work(context: StageContext) -> TaskedWork:
    """The work of a stage that is made of tasks."""
    work = context.stage.work
    assert isinstance(work, TaskedWork)
    return work
