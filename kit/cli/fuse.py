"""`kit fuse`: detections of several models or views into one file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class ConfType(StrEnum):
    """How a fused box's score follows from those of its boxes."""

    avg = "avg"
    max = "max"
    box_and_model_avg = "box_and_model_avg"
    absent_model_aware_avg = "absent_model_aware_avg"


def fuse(
    files: Annotated[list[Path], typer.Argument(help="Detection CSVs, one a source; .csv, .csv.gz or .zip.")],
    out: Annotated[Path, typer.Option("--out", help="Where the fused detections go; .csv, .csv.gz or .zip.")],
    weight: Annotated[
        list[float] | None, typer.Option("--weight", help="Weight of a source, in the files' order.")
    ] = None,
    iou: Annotated[
        float, typer.Option(min=0, max=1, help="Overlap above which boxes are one object.")
    ] = 0.55,
    lowest: Annotated[float, typer.Option(min=0, help="Leave out lower scores.")] = 0.0,
    conf_type: Annotated[ConfType, typer.Option(help="How scores are combined.")] = ConfType.avg,
) -> None:
    """Fuse detections of the 57 classes by weighted boxes (data.test.detections takes the result)."""
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
