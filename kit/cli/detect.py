"""`kit detect`: objects in the pictures of a split."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from kit.cli.options import ConfigName, Force, Json, Overrides, RunFolder


class Split(StrEnum):
    """Splits with pictures."""

    train = "train"
    stack = "stack"
    val = "val"
    test = "test"


def detect(
    name: Annotated[str | None, typer.Argument(help="One of detector.models (default: all of them).")] = None,
    split: Annotated[Split, typer.Option(help="The split whose pictures to look at.")] = Split.val,
    config: ConfigName = "mini",
    set_: Overrides = None,
    run: RunFolder = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Detect objects with the trained detectors under every view of the config."""
    from kit.cli.common import open_run, report_stage, use_threads
    from kit.stages.detection import detect_stage

    opened = open_run(config, set_, run)
    use_threads(opened)
    for chosen in [name] if name else list(opened.config.detector.models):
        record = detect_stage(opened, split.value, chosen, force)
        report_stage(opened, f"detect-{split.value}-{chosen}", record, json)
