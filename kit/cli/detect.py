"""`kit detect`: what the trained detectors see in a split's images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from kit.base.split_names import SplitName
from kit.cli.detection_files import check_out, save, split_side_files
from kit.cli.options import FormatOf, RunOptions, Split, run_command
from kit.tables.format_names import Format


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
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Write the boxes; with several detectors or views a file each: NAME-DETECTOR-VIEW.csv.",
            metavar="FILE",
        ),
    ] = None,
    form: FormatOf = "openimages",
) -> None:
    """Detect objects with the trained detectors under every view of the config."""
    from kit.base.errors import KitError
    from kit.cli.common import report_stage
    from kit.pipeline.detector_task import ATTRIBUTES, OBJECTS, detector_model
    from kit.pipeline.images import say_left_out

    if out is None and form != "openimages":
        raise KitError("--format says how --out is written, which is not given", "give --out FILE")
    if out is not None:
        check_out(out, form, "the detections")
        if attributes:
            raise KitError("--out does not go with --attributes", "the forms are of the 57 classes")
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
    if out is not None:
        _write(options, names, split, out, form)


def _write(options: RunOptions, names: Sequence[str], split: SplitName, out: Path, form: Format) -> None:
    """A file of every detector and view, in the form that `kit fuse` takes them in again."""
    from kit.pipeline.detector_task import OBJECTS
    from kit.tables.schema import ViewDetections
    from kit.tables.shards import SHARDS, read_shards

    session = options.session
    views = [view.name for view in session.config.detector.inference.views]
    beside = split_side_files(session, split)
    for name in names:
        folder = session.pipeline.folder(OBJECTS.detect(split, name))
        table = ViewDetections.concat(list(read_shards(folder / SHARDS, ViewDetections)))
        for view in views:
            several = len(names) * len(views) > 1
            stem, dot, ending = out.name.partition(".")
            path = out.with_name(f"{stem}-{name}-{view}{dot}{ending}") if several else out
            beside = save(path, table.of_source(name, view), form, beside, options.json)
