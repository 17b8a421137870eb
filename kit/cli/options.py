"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigName = Annotated[
    str, typer.Option("--config", "-c", help="A YAML file, or the name of one that comes with kit.")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Change a setting: a.b=value. May be repeated.")
]
RunFolder = Annotated[
    Path | None, typer.Option("--run", help="Folder of the run (default: from the config).")
]
Force = Annotated[bool, typer.Option("--force", help="Do it again even if nothing has changed.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
