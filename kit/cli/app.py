"""The command line: parse, call, print. Heavy libraries are imported inside the command that needs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from kit import __version__
from kit.base.log import configure_logging
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

DATA, TRAIN, USE, SEND, TOOLS = (
    "Get the data",
    "Train",
    "Predict and score",
    "Submit",
    "Tools and experiments",
)
COMMANDS = (  # in the order of the work: name, function, group, example
    ("download", download.download, DATA, "kit download --config layer6 --dry-run"),
    ("config", config_command.show, DATA, "kit config --config layer6"),
    ("doctor", doctor.doctor, DATA, "kit doctor"),
    ("train", train.app, TRAIN, ""),
    ("detect", detect.detect, USE, "kit detect --split val"),
    ("fuse", fuse.fuse, USE, "kit fuse a.csv b.csv --out fused.csv"),
    ("predict", predict.predict, USE, "kit predict --split test"),
    ("evaluate", evaluate.evaluate, USE, "kit evaluate --split val"),
    ("score", score.app, USE, ""),
    ("submit", submit.submit, SEND, "kit submit --dry-run"),
    ("submissions", submissions.submissions, SEND, "kit submissions --plot boards.png"),
    ("classmap", classmap.classmap, TOOLS, "kit classmap coco"),
    ("transfer", transfer.transfer, TOOLS, "kit transfer coco.pth --classes coco --out start.pth"),
    ("report", report.app, TOOLS, ""),
    ("reproduce", reproduce.app, TOOLS, ""),
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command, _group, _example in COMMANDS:
    if isinstance(_command, typer.Typer):
        app.add_typer(_command, name=_name, rich_help_panel=_group)
    else:
        app.command(_name, rich_help_panel=_group, epilog=f"Example: {_example}")(_command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"kit {__version__}")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more of what is done.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say warnings and errors alone.")] = False,
) -> None:
    """From nothing to a scored submission in Open Images 2019 - Visual Relationship."""
    configure_logging(int(verbose) - int(quiet))


def call(words: Sequence[str]) -> int:
    """Run a command; its exit code. Raises KitError, and the parser's own errors (`format_message`)."""
    code = app(list(words), standalone_mode=False, prog_name="kit")
    return code if isinstance(code, int) else 0
