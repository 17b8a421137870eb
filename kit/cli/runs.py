"""`kit runs`: all runs of a folder side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kit.cli.options import Json, run_place


def runs(
    folder: Annotated[
        Path,
        typer.Argument(parser=run_place, metavar="FOLDER", help="What holds the runs, also an address."),
    ] = Path("runs"),
    json: Json = False,
) -> None:
    """List all runs: final scores, date, time taken, state, and what differs in their configurations."""
    from kit.base.files import json_text
    from kit.report.run_list import as_text, list_runs

    rows = list_runs(folder)
    typer.echo(json_text([row.as_dict() for row in rows]) if json else as_text(rows), nl=json)
