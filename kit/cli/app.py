"""The command line: parse, call, print. Heavy libraries are imported inside the command that needs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from kit import __version__
from kit.cli import (
    classmap,
    detect,
    doctor,
    download,
    evaluate,
    fuse,
    predict,
    report,
    reproduce,
    score,
    submissions,
    submit,
    train,
    transfer,
)
from kit.cli import config as config_command

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(score.app, name="score")
app.add_typer(train.app, name="train")
app.add_typer(report.app, name="report")
app.add_typer(reproduce.app, name="reproduce")
app.command("download")(download.download)
app.command("predict")(predict.predict)
app.command("evaluate")(evaluate.evaluate)
app.command("classmap")(classmap.classmap)
app.command("transfer")(transfer.transfer)
app.command("detect")(detect.detect)
app.command("fuse")(fuse.fuse)
app.command("submit")(submit.submit)
app.command("submissions")(submissions.submissions)
app.command("doctor")(doctor.doctor)
app.command("config")(config_command.show)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"kit {__version__}")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From nothing to a scored submission in Open Images 2019 - Visual Relationship."""


def call(words: Sequence[str]) -> int:
    """Run a command; its exit code. Raises KitError, and the parser's own errors (`format_message`)."""
    code = app(list(words), standalone_mode=False, prog_name="kit")
    return code if isinstance(code, int) else 0
