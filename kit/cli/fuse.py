"""`kit fuse`: detections of several models or views into one file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kit.cli.options import ConfigName, Force, Json, Overrides, RunFolder, Split


class ConfType(StrEnum):
    """How a fused box's score follows from those of its boxes."""

    avg = "avg"
    max = "max"
    box_and_model_avg = "box_and_model_avg"
    absent_model_aware_avg = "absent_model_aware_avg"


def fuse(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Detection CSVs, one a source; .csv, .csv.gz or .zip.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where the files' boxes go; .csv, .csv.gz or .zip.")
    ] = None,
    split: Annotated[Split | None, typer.Option(help="Fuse the run's detections of this split.")] = None,
    attributes: Annotated[
        bool, typer.Option("--attributes", help='With --split: detections of the "is" detectors.')
    ] = False,
    weight: Annotated[
        list[float] | None, typer.Option("--weight", help="Weight of a source, in the files' order.")
    ] = None,
    iou: Annotated[
        float, typer.Option(min=0, max=1, help="Overlap above which boxes are one object.")
    ] = 0.55,
    lowest: Annotated[float, typer.Option(min=0, help="Leave out lower scores.")] = 0.0,
    conf_type: Annotated[ConfType, typer.Option(help="How scores are combined.")] = ConfType.avg,
    config: ConfigName = "mini",
    set_: Overrides = None,
    run: RunFolder = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Fuse detections of several models and views: a split's by the config, or files by the options.

    With --split the models' weights are chosen by validation mAP; detector.fusion holds the settings.
    """
    from kit.errors import KitError

    if (split is None) == (not files):
        raise KitError("give either --split or detection files")
    if split is not None:
        from kit.cli.common import open_run, report_stage
        from kit.stages.family import ATTRIBUTES, OBJECTS
        from kit.stages.fusion import fuse_stage

        opened = open_run(config, set_, run)
        family = ATTRIBUTES if attributes else OBJECTS
        record = fuse_stage(opened, split.value, force, family)
        report_stage(opened, f"{family.fusion}-{split.value}", record, json)
    elif files and out is None:
        raise KitError("--out is not given", "say where the fused detections go")
    elif files and out is not None:
        _fuse_files(files, out, weight, iou, lowest, conf_type)


def _fuse_files(
    files: list[Path], out: Path, weight: list[float] | None, iou: float, lowest: float, conf_type: ConfType
) -> None:
    from kit.errors import KitError
    from kit.fusion.wbf import fuse_detections
    from kit.tables.official import read_detections
    from kit.tables.official_writer import write_detections

    sources = [read_detections(file) for file in files]
    try:
        fused = fuse_detections(sources, weight, iou=iou, lowest=lowest, conf_type=conf_type.value)
    except ValueError as error:
        raise KitError(str(error)) from None
    write_detections(out, fused)
    typer.echo(f"{sum(map(len, sources)):,} boxes of {len(files)} files -> {len(fused):,} in {out}")
