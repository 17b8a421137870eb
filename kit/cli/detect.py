"""`kit detect`: what the trained detectors see in a split's images."""

from __future__ import annotations

from typing import Annotated

import typer

from kit.cli.options import RunOptions, Split, run_command


@run_command
def detect(
    options: RunOptions,
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A detector of the config (default: all).")
    ] = None,
    split: Split = "val",
    attributes: Annotated[
        bool, typer.Option("--attributes", help='Use the "is" detectors, of (object, attribute) pairs.')
    ] = False,
) -> None:
    """Detect objects with the trained detectors under every view of the config."""
    from kit.base.errors import KitError
    from kit.cli.common import report_stage
    from kit.pipeline.detector_task import ATTRIBUTES, OBJECTS, detector_model
    from kit.pipeline.images import say_left_out

    session = options.session
    task = ATTRIBUTES if attributes else OBJECTS
    names = [name] if name else task.models(session.config)
    if not names:
        raise KitError("the config names no such detectors", "set detector.models, attribute.models")
    for chosen in names:
        detector_model(session.config, chosen)
    stages = [task.detect(split, chosen) for chosen in names]
    for stage, record in session.make(*stages, force=options.force).items():
        say_left_out(session.pipeline, stage)
        report_stage(session.path, stage, record, options.json)
