"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
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


class Split(StrEnum):
    """The splits of the data."""

    train = "train"
    stack = "stack"
    val = "val"
    test = "test"


class ScorerOption(StrEnum):
    """What scores the pairs."""

    prior = "prior"
    spatial = "spatial"
    visual = "visual"
    average = "average"
    stack = "stack"


Scorer = Annotated[
    ScorerOption | None, typer.Option(help="What scores the pairs (default: relation.combine).")
]
