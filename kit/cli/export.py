"""`kit export`: a split of a run for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kit.cli.options import RunOptions, Split, run_command

app = typer.Typer(no_args_is_help=True, help="Write a split of a run for other tools.")


@app.callback()
def group() -> None:
    """Keeps the forms' names as commands even while there is only one."""


@app.command(
    short_help="A FiftyOne dataset folder.", epilog="Example: kit export fiftyone --split val --out fo"
)
@run_command
def fiftyone(
    options: RunOptions,
    *,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The dataset's folder.")],
    split: Split = "val",
    top: Annotated[
        int, typer.Option(min=1, metavar="K", help="Detections and relations of an image, the best.")
    ] = 100,
    link: Annotated[bool, typer.Option("--link", help="Link the photos, instead of copying them.")] = False,
) -> None:
    """Write photos, true objects and relations, detections and predicted relations as a FiftyOneDataset.

    FiftyOne is not needed for it. There: fiftyone.Dataset.from_dir(DIR, fiftyone.types.FiftyOneDataset).
    """
    from kit.base.errors import printable
    from kit.base.files import json_text
    from kit.report.fiftyone_export import export_fiftyone
    from kit.report.results import RunResults

    results = RunResults(options.session.pipeline, split)
    counts = export_fiftyone(results, out, top, link=link, force=options.force)
    words = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
    text = json_text({"path": str(out), **counts}) if options.json else f"{words} -> {printable(str(out))}"
    typer.echo(text)
