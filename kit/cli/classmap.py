"""`kit classmap`: which source class each target class takes its weights from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kit.base.errors import printable
from kit.cli.options import Json


def classmap(
    source: Annotated[
        str,
        typer.Argument(help="coco, a file of class names (text, CSV, JSON, YAML), or a checkpoint (.pth)."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the map here, as YAML to edit.", metavar="FILE")
    ] = None,
    json: Json = False,
) -> None:
    """Match the 57 classes to a source's by name, synonym and the Open Images hierarchy."""
    from kit.base.files import json_text
    from kit.base.text_table import table
    from kit.cli.target import check_target
    from kit.detector.trained import source_names
    from kit.vocabulary.class_map import matched, write_class_map

    if out is not None:
        check_target(out, source)
    matches = matched(source_names(source), source)
    if out is not None:
        write_class_map(out, source, matches)
    found = sum(m.source is not None for m in matches)
    if json:
        typer.echo(json_text({"matched": found, "classes": [vars(m) for m in matches]}))
        return
    rows = [(m.name, m.source or "-", m.basis) for m in matches]
    typer.echo(table(f"From {source}", ("class", "source", "basis"), rows), nl=False)
    typer.echo(printable(f"{found} of {len(matches)} classes matched" + (f" -> {out}" if out else "")))
