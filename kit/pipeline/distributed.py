"""Stages that all processes of a training do together: those of a torchrun, or those that kit starts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kit.base.log import logger
from kit.base.threads import machine
from kit.detector.process_group import init_process_group, is_distributed
from kit.pipeline.ranks import beside
from kit.pipeline.run import Attempt, Run
from kit.pipeline.stage import Stage


@contextmanager
def shared_attempt(
    run: Run, stage: Stage, fingerprint: dict[str, Any], *, force: bool
) -> Iterator[Attempt | None]:
    """`Run.working` for all processes: the first one opens and ends it, all get the folder, or None where done.

    Without a torchrun this process is the first one, and starts the others of its machine.
    """
    timing = stage.timing_files
    if not is_distributed():
        working = run.working(stage.name, fingerprint, force=force, timing_files=timing)
        with working as attempt, beside(run, stage):
            yield attempt
            attempt.machine = machine()  # with this one's share of the threads
        return
    from kit.detector.team import Team

    init_process_group(run.config.detector.device, gpu=stage.device != "cpu")
    team = Team.here()
    if team.first:
        with run.working(stage.name, fingerprint, force=force, timing_files=timing) as attempt:
            team.wait()
            yield attempt
    elif stage.distributed:
        team.wait()
        with _silent():
            yield Attempt(run.part_of(stage.name))
    else:
        team.wait()
        yield None
    team.wait()


@contextmanager
def _silent() -> Iterator[None]:
    """Inside, errors alone are said: the first process speaks to the user."""
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
