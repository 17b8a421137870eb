"""A process that makes stages of a run: `python -m kit.pipeline.worker CONFIG RUN [MODE STAGE...]`.

Without stages it takes one after another from stdin, a line `MODE STAGE` each: libraries are loaded once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kit.base.process import run_as_process
from kit.pipeline.tasks import VERBOSITY, tasks

if TYPE_CHECKING:
    from kit.config import Config


def work(words: Sequence[str]) -> int:
    """Make the stages and what they need, or just these, or do a task of a stage; 0. Raises KitError."""
    from kit.base.log import configure_logging
    from kit.base.threads import use_threads
    from kit.config import load_config
    from kit.pipeline.ranks import ranks_kept

    configure_logging(int(os.environ.get(VERBOSITY, "0")))
    path, run, *task = words
    config, folder = load_config(path), Path(run)
    use_threads(config.cpu_threads)
    with ranks_kept(as_many_cores=not task):  # a stage of several processes counts as so many jobs
        for mode, *stages in [task] if task else map(str.split, tasks()):
            _make(config, folder, mode, stages)
    return 0


def _make(config: Config, folder: Path, mode: str, stages: Sequence[str]) -> None:
    from kit.pipeline.pipeline import Pipeline
    from kit.pipeline.run import Run

    pipeline = Pipeline(Run(config, folder))
    if mode == "make":
        pipeline.make(stages)
        return
    if mode == "task":
        pipeline.do_task(*stages)
        return
    for name in stages:
        pipeline.do(name, force=mode in ("redo", "resume"), resume=mode == "resume")


if __name__ == "__main__":
    run_as_process(work, sys.argv[1:])
