"""`kit compare`: runs or prediction files side by side, and what of their difference is noise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kit.cli.options import Json, Split, run_place


def compare(
    compared: Annotated[
        list[Path],
        typer.Argument(
            parser=run_place,
            metavar="RUN RUN...",
            help="Folders or addresses of runs; with --truth prediction files.",
        ),
    ],
    split: Split = "val",
    gt_boxes: Annotated[
        bool, typer.Option("--gt-boxes", help="Compare the relations on ground-truth boxes alone.")
    ] = False,
    truth: Annotated[
        list[Path] | None, typer.Option(help="Ground-truth CSV of prediction files.", metavar="FILE")
    ] = None,
    labels: Annotated[
        list[Path] | None, typer.Option(help="Verified image labels CSV beside --truth.", metavar="FILE")
    ] = None,
    resamples: Annotated[int, typer.Option(min=1, help="Resamples of the images.", metavar="N")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resamples.", metavar="N")] = 0,
    json: Json = False,
) -> None:
    """Compare runs, or prediction files, with the first: every figure, the interval of its difference, a verdict.

    The interval is a paired bootstrap over images. "Better" and "worse" lie outside 0 with 95%: of twenty figures
    that do not differ one is called so by chance.
    """
    from kit.base.errors import KitError
    from kit.base.files import json_text
    from kit.report.comparison import as_json, as_text, matches_of_files, matches_of_runs
    from kit.report.comparison import compared as differences
    from kit.session import open_folder

    if len(compared) < 2:
        raise KitError("one alone is compared with nothing", "give two or more")
    if labels and not truth:
        raise KitError("--labels goes with --truth", "give the truth of the files too")
    if truth:
        matches = matches_of_files(compared, truth, labels or ())
    else:
        pipelines = [open_folder(folder).pipeline for folder in compared]
        matches = matches_of_runs(pipelines, split, gt_boxes)
    found = differences(matches, resamples, seed)
    say = as_json if json else as_text
    text = say(matches[0][0], found, resamples)
    typer.echo(text if isinstance(text, str) else json_text(text), nl=json)
