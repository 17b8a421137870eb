"""`kit detect`: objects in the pictures of a split."""

from __future__ import annotations

from typing import Annotated

import typer

from kit.cli.options import ConfigName, Force, Json, Overrides, RunFolder, Split


def detect(
    name: Annotated[str | None, typer.Argument(help="One of detector.models (default: all of them).")] = None,
    split: Annotated[Split, typer.Option(help="The split whose pictures to look at.")] = Split.val,
    attributes: Annotated[
        bool, typer.Option("--attributes", help='Use the "is" detectors, of (object, attribute) pairs.')
    ] = False,
    config: ConfigName = "mini",
    set_: Overrides = None,
    run: RunFolder = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Detect objects with the trained detectors under every view of the config."""
    from kit.cli.common import open_run, report_stage, use_threads
    from kit.errors import KitError
    from kit.stages.detection import detect_stage
    from kit.stages.family import ATTRIBUTES, OBJECTS

    opened = open_run(config, set_, run)
    use_threads(opened)
    family = ATTRIBUTES if attributes else OBJECTS
    names = [name] if name else family.names(opened.config)
    if not names:
        raise KitError("the config names no such detectors", "set detector.models, attribute.models")
    for chosen in names:
        record = detect_stage(opened, split.value, chosen, force, family)
        report_stage(opened, f"{family.detection}-{split.value}-{chosen}", record, json)
