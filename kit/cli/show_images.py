"""`kit show`: images of a split with boxes, relations, errors drawn on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kit.base.errors import KitError, printable
from kit.cli.options import ConfigName, Overrides, RunFolder, Scorer, Split

LAYERS = ("truth", "detections", "predictions")


def show(
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE", help="Ids of the split, or files of its images (default: its first)."
        ),
    ] = None,
    *,
    split: Split = "val",
    truth: Annotated[bool, typer.Option("--truth", help="Show what is annotated.")] = False,
    detections: Annotated[bool, typer.Option("--detections", help="Show the fused detections.")] = False,
    predictions: Annotated[
        bool, typer.Option("--predictions", help="Show the predicted relations (default: with the truth).")
    ] = False,
    top: Annotated[
        int,
        typer.Option("--top", min=1, metavar="K", help="The surest of an image's detections and relations."),
    ] = 6,
    errors: Annotated[
        str | None,
        typer.Option("--errors", metavar="KIND", help="Examples of a kind of error, or `all` (of each)."),
    ] = None,
    disagree: Annotated[
        bool, typer.Option("--disagree", help="Pairs on which the spatial and the visual model disagree.")
    ] = False,
    most: Annotated[
        int, typer.Option("--images", min=1, metavar="N", help="So many images where none is named.")
    ] = 12,
    rotations: Annotated[
        Path | None,
        typer.Option(
            "--rotations",
            metavar="FILE",
            help="Turn images by the Rotation column of Open Images' image file.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the PNGs are written.")] = Path(
        "shown"
    ),
    sheet: Annotated[bool, typer.Option("--sheet", help="Write a contact sheet of them too.")] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the sheet, or the first image.")] = False,
    scorer: Scorer = None,
    config: ConfigName = "mini",
    set_: Overrides = None,
    run: RunFolder = None,
) -> None:
    """Draw what a run knows and finds on images of a split, side by side, into PNG files."""
    from kit.data.orientation import read_rotations
    from kit.pipeline.models import check_scorer
    from kit.report.show import disagreement_drawings, error_drawings, split_drawings, write_drawings
    from kit.report.split_images import SplitImages
    from kit.session import open_run

    if images and (errors or disagree):
        raise KitError("--errors and --disagree choose the images themselves", "leave out the images' names")
    layers = [name for name, on in zip(LAYERS, (truth, detections, predictions), strict=True) if on]
    if layers and (errors or disagree):
        raise KitError("--errors and --disagree choose what is drawn", f"leave out --{' --'.join(layers)}")
    if rotations and (errors or disagree):
        raise KitError("--rotations turns images of a split", "leave out --errors and --disagree")
    session = open_run(config, set_ or (), run)
    scorer = check_scorer(session.config, scorer or session.config.relation.scorer)
    turned = read_rotations(rotations) if rotations else {}
    shown = SplitImages(session.pipeline, split, scorer, top, turned)
    drawings = [
        *(error_drawings(shown, errors, most) if errors else ()),
        *(disagreement_drawings(shown, most) if disagree else ()),
    ] or split_drawings(shown, images or (), layers, most)
    written = write_drawings(drawings, out, sheet)
    for path in written:
        typer.echo(printable(str(path)))
    if open_:
        typer.launch(str(written[0]))
