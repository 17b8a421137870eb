"""`kit fuse`: detections of several models or views into one file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.base.errors import KitError, printable
from kit.base.split_names import SplitName
from kit.cli.detection_files import check_out, save, side_files, split_side_files
from kit.cli.options import ClassNames, ConfigName, Described, Force, FormatOf, Json, Overrides, RunFolder
from kit.session import Session, open_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kit.tables.format_names import Format
    from kit.tables.schema import Detections
    from kit.tables.side_files import SideFiles

OF_FILES = ("weight", "iou", "skip_box_threshold", "conf_type", "images", "classes")
OF_A_RUN = ("attributes", "config", "set_", "run", "force")


class ConfType(StrEnum):
    """How a fused box's score follows from those of its boxes."""

    avg = "avg"
    max = "max"
    box_and_model_avg = "box_and_model_avg"
    absent_model_aware_avg = "absent_model_aware_avg"


def fuse(
    context: typer.Context,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Detections, one a source: Open Images' CSV, COCO results, YOLO labels, Kaggle's."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Where the fused boxes go; YOLO: a folder.", metavar="FILE"),
    ] = None,
    form: FormatOf = "openimages",
    images: Described = None,
    classes: ClassNames = None,
    split: Annotated[
        SplitName | None,
        typer.Option(help="Fuse the run's detections of this split.", metavar="train|stack|val|test"),
    ] = None,
    attributes: Annotated[
        bool, typer.Option("--attributes", help='With --split: detections of the "is" detectors.')
    ] = False,
    weight: Annotated[
        list[float] | None,
        typer.Option("--weight", help="Weight of a source, in the files' order.", metavar="X"),
    ] = None,
    iou: Annotated[
        float, typer.Option(min=0, max=1, help="Overlap above which boxes are one object.", metavar="X")
    ] = 0.55,
    skip_box_threshold: Annotated[
        float,
        typer.Option(
            "--skip-box-threshold", "--lowest", min=0, help="Leave out boxes of lower scores.", metavar="X"
        ),
    ] = 0.0,
    conf_type: Annotated[
        ConfType,
        typer.Option(
            help="How scores are combined.", metavar="avg|max|box_and_model_avg|absent_model_aware_avg"
        ),
    ] = ConfType.avg,
    config: ConfigName = "mini",
    set_: Overrides = None,
    run: RunFolder = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Fuse detections of several models and views: a split's by the config, or files by the options.

    With --split the models' weights are chosen by validation mAP; detector.fusion holds the settings,
    attribute.fusion those of the "is" detectors where they are others.
    """
    if (split is None) == (not files):
        raise KitError("give either --split or detection files")
    _refuse_other(context, OF_A_RUN if files else OF_FILES, "detection files" if files else "--split")
    if out is None and files:
        raise KitError("--out is not given", "say where the fused detections go")
    if out is None and form != "openimages":
        raise KitError("--format says how --out is written, which is not given", "give --out FILE")
    if out is not None:
        check_out(out, form, "the fused detections")
    if split is not None:
        _fuse_split(open_run(config, set_ or (), run), split, attributes, force, json, out, form)
    elif files and out is not None:
        beside = side_files(images, classes)
        _fuse_files(files, out, weight, iou, skip_box_threshold, conf_type, json, form, beside)


def _fuse_split(
    session: Session,
    split: SplitName,
    attributes: bool,
    force: bool,
    json: bool,
    out: Path | None,
    form: Format,
) -> None:
    from kit.cli.common import report_stage
    from kit.pipeline.detector_task import ATTRIBUTES, OBJECTS
    from kit.pipeline.stages.fused_detections import fused_detections

    task = ATTRIBUTES if attributes else OBJECTS
    stage = task.fuse(split)
    if stage not in session.pipeline.stages:
        raise KitError("detector.models is empty", "name a detector in the config")
    if attributes and out is not None:
        raise KitError("--out does not go with --attributes", "the forms are of the 57 classes")
    record = session.make(stage, force=force)[stage]
    report_stage(session.path, stage, record, json)
    if out is not None:
        save(
            out,
            fused_detections(session.pipeline.folder(stage)),
            form,
            split_side_files(session, split),
            json,
        )


def _refuse_other(context: typer.Context, names: Sequence[str], given: str) -> None:
    """Options of the one form have no part in the other."""
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name in names and source is not None and source.name != "DEFAULT":
            hint = "detector.fusion in the config holds the settings of a split"
            raise KitError(f"{parameter.opts[0]} does not go with {given}", hint)


def _fuse_files(
    files: list[Path],
    out: Path,
    weight: list[float] | None,
    iou: float,
    skip_box_threshold: float,
    conf_type: ConfType,
    json: bool,
    form: Format,
    beside: SideFiles,
) -> None:
    from kit.base.files import json_text
    from kit.fusion.wbf import check_settings, fuse_detections, weights_of
    from kit.tables.detection_formats import load_detections, save_detections

    _check_paths(files, out)
    try:
        weights_of(weight, len(files))
        check_settings(iou, skip_box_threshold)
    except ValueError as error:
        raise KitError(str(error)) from None
    sources = [load_detections([file], beside) for file in files]
    _compare_images(files, sources)
    try:
        fused = fuse_detections(
            sources, weight, iou=iou, skip_box_threshold=skip_box_threshold, conf_type=conf_type.value
        )
    except ValueError as error:
        raise KitError(str(error)) from None
    total = sum(map(len, sources))
    if not len(fused):
        hint = f"lower --skip-box-threshold {skip_box_threshold:g}" if skip_box_threshold else ""
        raise KitError(f"none of the {total:,} boxes is left", hint)
    described = save_detections(out, fused, form, beside)
    if json:
        more = {"images": str(described)} if described else {}
        result = {"files": [str(f) for f in files], "boxes": total, "fused": len(fused), "out": str(out)}
        typer.echo(json_text({**result, **more}))
        return
    beside_it = f" (--images {described})" if described else ""
    typer.echo(printable(f"{total:,} boxes of {len(files)} files -> {len(fused):,} in {out}{beside_it}"))


def _check_paths(files: list[Path], out: Path) -> None:
    """The output replaces no input; a file that is given twice is told, for it counts twice."""
    from kit.base.log import logger

    for i, file in enumerate(files):
        if _same(file, out):
            raise KitError(f"--out: {out} is one of the files to fuse", "give another name")
        if any(_same(file, earlier) for earlier in files[:i]):
            logger.warning(f"{file} is given more than once: each time it counts as a source of its own")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _compare_images(files: list[Path], sources: Sequence[Detections]) -> None:
    """Say which images are not in every file: their boxes count as seen by fewer sources.

    Raises KitError where a file shares no image with any other.
    """
    from kit.base.log import logger
    from kit.tables.image_ids import images_of, share, shown, unmatched

    images_by_file = [dict.fromkeys(images_of(source)) for source in sources]
    cause = ""
    everywhere = {name for name in images_by_file[0] if all(name in images for images in images_by_file)}
    for i, file in enumerate(files if len(files) > 1 else []):
        others = {name for j, images in enumerate(images_by_file) if j != i for name in images}
        strange = unmatched(images_by_file[i], others)
        if strange and strange.none_match:
            what = strange.say("images", "in no other file")
            raise KitError(
                f"{file}: {what}", "files to fuse are of the same images; rows of others can be joined"
            )
        cause = cause or (strange.why if strange else "")
    union = dict.fromkeys(name for images in images_by_file for name in images)
    partial = [name for name in union if name not in everywhere]
    if partial:
        lacking = next(
            file for file, images in zip(files, images_by_file, strict=True) if partial[0] not in images
        )
        logger.warning(
            f"{share(len(partial), len(union), 'images')} are not in every file, the first {shown(partial[0])} "
            f"(not in {lacking}): their boxes count as seen by fewer sources"
            + (f"; {cause}" if cause else "")
        )
