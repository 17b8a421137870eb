"""Options that several commands share; those of a run stand once, in a decorator."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from kit.base.remote_place import local_place
from kit.base.split_names import SplitName
from kit.session import Session, open_run
from kit.tables.format_names import Format


def run_place(text: str | Path) -> Path:
    """A run's folder, or that of the working copy where an address is given."""
    return local_place(str(text), "runs")


ConfigName = Annotated[
    str,
    typer.Option(
        "--config", "-c", metavar="FILE", help="A YAML file, or the name of one that comes with kit."
    ),
]
DEFAULT = "mini"
RunConfig = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help=f"A YAML file, or the name of one that comes with kit (default: {DEFAULT}).",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=VALUE", help="Change a setting. May be repeated."),
]
RunFolder = Annotated[
    Path | None,
    typer.Option(
        "--run",
        parser=run_place,
        metavar="FOLDER",
        help="Folder or address (s3://...) of the run (default: from the config).",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Do it again even if nothing has changed.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Jobs = Annotated[
    int, typer.Option("--jobs", min=1, metavar="N", help="Stages at a time, by as many processes.")
]
Split = Annotated[
    SplitName, typer.Option("--split", help="The split of the data.", metavar="train|stack|val|test")
]
Scorer = Annotated[
    str | None,
    typer.Option("--scorer", metavar="NAME", help="What scores the pairs (default: relation.scorer)."),
]
Described = Annotated[
    Path | None,
    typer.Option(
        "--images",
        help="Of COCO's pixels: a COCO file of images and categories, or the images' folder.",
        metavar="PATH",
    ),
]
ClassNames = Annotated[
    Path | None,
    typer.Option("--classes", help="Names of the classes of YOLO labels, in their order.", metavar="FILE"),
]
FormatOf = Annotated[
    Format, typer.Option("--format", help="Form of what is written.", metavar="openimages|coco|yolo|kaggle")
]


@dataclass(frozen=True)
class RunOptions:
    """What the options of a run say: the opened run, whether to make things again, and to print JSON.

    config: as it was given, None for the default; overrides, folder: likewise.
    """

    session: Session
    force: bool
    json: bool
    config: str | None
    overrides: tuple[str, ...]
    folder: Path | None


def run_command(function: Callable[..., None]) -> Callable[..., None]:
    """Add --config, --set, --run, --force and --json to a command; its first argument is then RunOptions."""
    hints = get_type_hints(function, include_extras=True)
    _, *parameters = inspect.signature(function).parameters.values()
    shared = inspect.signature(_shared).parameters.values()
    resolved = [p.replace(annotation=hints[p.name]) for p in parameters]
    added = [p.replace(annotation=get_type_hints(_shared, include_extras=True)[p.name]) for p in shared]

    @wraps(function)
    def command(**given: Any) -> None:
        options = _shared(**{p.name: given.pop(p.name) for p in shared})
        function(options, **given)

    command.__signature__ = inspect.Signature([*resolved, *added])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in (*resolved, *added)}
    return command


def _shared(
    *,
    config: RunConfig = None,
    set_: Overrides = None,
    run: RunFolder = None,
    force: Force = False,
    json: Json = False,
) -> RunOptions:
    overrides = tuple(set_ or ())
    session = open_run(config or DEFAULT, overrides, run)
    return RunOptions(session, force, json, config, overrides, run)
