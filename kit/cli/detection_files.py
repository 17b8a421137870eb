"""Files of detections on the command line: what stands beside them, where they go, and writing them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from kit.base.errors import KitError, printable
from kit.tables.format_names import ENDINGS, Format

if TYPE_CHECKING:
    from kit.base.split_names import SplitName
    from kit.session import Session
    from kit.tables.schema import Detections
    from kit.tables.side_files import SideFiles


def side_files(images: Path | None, classes: Path | None) -> SideFiles:
    """What --images and --classes say. Raises KitError where there is nothing at a path."""
    from kit.data.image_sizes import FolderSizes
    from kit.tables.side_files import SideFiles

    for option, path in (("--images", images), ("--classes", classes)):
        if path is not None and not path.exists():
            raise KitError(f"{option}: {path}: no such file{' or folder' if path is images else ''}")
    if images is not None and images.is_dir():
        return SideFiles(sizes=FolderSizes(images), classes=classes)
    return SideFiles(images=images, classes=classes)


def split_side_files(session: Session, split: SplitName) -> SideFiles:
    """The sizes of a split's images, for what is written of it."""
    from kit.data.image_sizes import FolderSizes
    from kit.data.photos import is_photo_folder
    from kit.pipeline.splits import split_of
    from kit.tables.side_files import NOTHING, SideFiles

    folder = split_of(session.config, split).images
    if folder is None or not is_photo_folder(folder):
        return NOTHING
    return SideFiles(sizes=FolderSizes(folder, session.config.data.decoding()))


def check_out(out: Path, form: Format, what: str) -> None:
    """Raise KitError where a path cannot be that of a file, or folder, of this form; what: is written there."""
    endings = ENDINGS[form]
    if not endings and (out.is_file() or out.suffix in (".txt", ".csv", ".json")):
        raise KitError(f"--out: {out}: YOLO labels are a folder of files", "name a folder")
    if endings and not out.name.lower().endswith(endings) and (out.is_file() or not out.exists()):
        kind = "a CSV" if ".csv" in endings else "JSON"
        raise KitError(f"--out: {out}: {what} are {kind}", f"end it in {', '.join(endings)}")


def save(out: Path, table: Detections, form: Format, beside: SideFiles, json: bool) -> SideFiles:
    """Write detections of a split, and say where they are; what more of its detections can be written beside."""
    from kit.tables.detection_formats import save_detections
    from kit.tables.side_files import SideFiles

    described = save_detections(out, table, form, beside)
    text = f"{len(table):,} boxes in {out}{f', the images in {described}' if described else ''}"
    typer.echo(printable(text), err=json)
    return SideFiles(images=described) if described else beside
