"""`kit transfer`: a checkpoint for the 57 classes from one that was trained on others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kit.base.errors import printable
from kit.cli.options import Json


def transfer(
    checkpoint: Annotated[Path, typer.Argument(help="A Cascade R-CNN checkpoint (.pth) of mmdet.")],
    out: Annotated[Path, typer.Option("--out", help="Where the new checkpoint goes.", metavar="FILE")],
    classes: Annotated[
        str | None,
        typer.Option(
            help="Its classes: coco or a names file (default: what it says itself).", metavar="TEXT"
        ),
    ] = None,
    map_: Annotated[
        Path | None,
        typer.Option("--map", help="Class map of `kit classmap` (default: made anew).", metavar="FILE"),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of the rows without a source class.", metavar="N")
    ] = 0,
    unmatched: Annotated[
        Path | None,
        typer.Option(
            help="A detector of the 57 classes: classes without a source take its rows (default: random).",
            metavar="FILE",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Partial weight transfer: each class takes the head rows of its source class; the rest is copied."""
    import numpy as np

    from kit.base.files import json_text
    from kit.cli.target import check_target
    from kit.detector.checkpoint import write_state
    from kit.detector.trained import read_trained, with_rows_of
    from kit.detector.weight_transfer import resized
    from kit.vocabulary import vocabulary
    from kit.vocabulary.class_map import class_indices, read_class_map

    check_target(out, checkpoint, classes, map_, unmatched)
    trained = read_trained(checkpoint, classes)
    origin = classes or checkpoint
    mapped = read_class_map(map_, trained.names) if map_ else class_indices(trained.names, origin)
    state, report = trained.transferred(resized(trained.state, len(mapped), seed), mapped)
    if unmatched is not None:
        state = with_rows_of(unmatched, state, np.flatnonzero(mapped < 0), len(mapped))
    write_state(out, state, vocabulary().names[: len(mapped)])
    if json:
        typer.echo(json_text(report.as_dict()))
        return
    others = "initialised" if unmatched is None else f"of {printable(str(unmatched))}"
    for name, (copied, fresh) in report.rows.items():
        typer.echo(f"{name}: {copied} rows copied, {fresh} {others}")
    typer.echo(
        f"{len(report.copied)} other tensors copied; {int((mapped >= 0).sum())} of {len(mapped)} classes "
        f"have a source class -> {printable(str(out))}"
    )
