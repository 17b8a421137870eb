"""`kit predict`: scored relations for a split, or for any photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kit.base.errors import KitError, printable
from kit.base.split_names import SplitName
from kit.cli.options import RunOptions, Scorer, run_command


@run_command
def predict(
    options: RunOptions,
    *,
    photos: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PHOTO_OR_FOLDER", help="Any photos, and folders of them, in place of a split."
        ),
    ] = None,
    split: Annotated[
        SplitName | None,
        typer.Option(
            "--split", help="The split of the data (default: test).", metavar="train|stack|val|test"
        ),
    ] = None,
    scorer: Scorer = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="For photos: the folder of what is found.")
    ] = Path("predicted"),
    top: Annotated[
        int,
        typer.Option("--top", min=0, metavar="K", help="For photos: relations drawn on each; 0: no images."),
    ] = 6,
) -> None:
    """Detect, fuse and score relations: of a split, kept in the run; or of any photos, by the newest finished run.

    Photos of any size and format give relations.csv (the challenge's columns and Score), relations.json (names,
    boxes in pixels) and an image each. EXIF's orientation is applied: boxes are of the photo as it is seen.
    """
    if not photos:
        _predict_split(options, split or "test", scorer)
    elif split is not None:
        raise KitError("--split and photos exclude each other", "give one of them")
    else:
        _predict_photos(options, photos, scorer, out, top)


def _predict_split(options: RunOptions, split: SplitName, scorer: str | None) -> None:
    from kit.cli.common import report_stage
    from kit.pipeline.images import say_left_out
    from kit.pipeline.stages.predictions import predict_stage

    session, chosen = options.session.for_scorer(scorer)
    stage = predict_stage(session.config, split, chosen)
    record = session.make(stage, force=options.force)[stage]
    say_left_out(session.pipeline, stage)
    report_stage(session.path, stage, record, options.json)


def _predict_photos(options: RunOptions, photos: list[Path], scorer: str | None, out: Path, top: int) -> None:
    from kit.base.files import json_text
    from kit.pipeline.photo_run import newest_run, run_of
    from kit.report.photo_report import predict_into

    if options.config is not None:
        run = options.session.run
    elif options.folder is not None:
        run = run_of(options.folder, options.overrides)
    else:
        run = newest_run(overrides=options.overrides)
    result = predict_into(run, photos, out, scorer=scorer, drawn=top)
    if options.json:
        typer.echo(json_text({"run": str(run.path), "path": str(out), **result}))
    else:
        text = f"{result['photos']} photos, {result['relations']:,} relations by {run.path} -> {out}"
        typer.echo(printable(text))
