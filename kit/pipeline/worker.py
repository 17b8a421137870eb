"""A process that makes stages of a run: `python -m kit.pipeline.worker MODE CONFIG RUN STAGE...`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from kit.base.process import run_as_process

Mode = Literal["make", "do", "redo"]
VERBOSITY = "KIT_VERBOSITY"  # of the environment: how much the process says


def work(words: Sequence[str]) -> int:
    """Make the stages and what they need, or just these; 0. Raises KitError."""
    from kit.base.log import configure_logging
    from kit.base.threads import use_threads
    from kit.config import load_config
    from kit.pipeline.pipeline import Pipeline
    from kit.pipeline.run import Run

    configure_logging(int(os.environ.get(VERBOSITY, "0")))
    mode, config, folder, *stages = words
    run = Run(load_config(config), Path(folder))
    use_threads(run.config.cpu_threads)
    pipeline = Pipeline(run)
    if mode == "make":
        pipeline.make(stages)
    else:
        for name in stages:
            pipeline.do(name, force=mode == "redo")
    return 0


if __name__ == "__main__":
    run_as_process(work, sys.argv[1:])
