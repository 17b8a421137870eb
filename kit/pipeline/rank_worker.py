"""A process that does stages together with others: `python -m kit.pipeline.rank_worker` reads tasks from stdin."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from kit.base.process import run_as_process
from kit.base.stopping import at_end
from kit.pipeline.ranks import Part
from kit.pipeline.tasks import VERBOSITY, tasks


def work(_: Sequence[str]) -> int:
    """Take part in one stage after another: 0. Raises KitError."""
    from kit.base.log import configure_logging

    configure_logging(int(os.environ.get(VERBOSITY, "0")))
    for task in tasks():
        _take(Part(**json.loads(task)))
    return 0


def _take(part: Part) -> None:
    import torch  # noqa: F401  # what takes its time comes before the others wait

    from kit.base.threads import use_threads
    from kit.config import load_config
    from kit.detector.process_group import init_process_group, one_of
    from kit.pipeline.pipeline import Pipeline
    from kit.pipeline.run import Run
    from kit.pipeline.stage import StageContext
    from kit.pipeline.work import at_work

    at_end(part.remove_folder)  # should the first one be killed
    run = Run(load_config(part.config), Path(part.run))
    use_threads(run.config.cpu_threads)
    stage = Pipeline(run).stage(part.stage)
    with one_of(part.count, part.rank, part.meeting):
        part.ready.touch()
        init_process_group(stage.device, gpu=stage.device != "cpu")
        at_work([StageContext(stage, run, run.part_of(stage.name))])


if __name__ == "__main__":
    run_as_process(work, sys.argv[1:])
