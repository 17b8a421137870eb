"""The command line: parse, call, print. Heavy libraries are imported inside the command that needs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from kit.base.log import configure_logging
from kit.base.version import __version__
from kit.cli import (
    browse,
    classmap,
    compare,
    detect,
    doctor,
    download,
    evaluate,
    export,
    fuse,
    predict,
    rehearse,
    report,
    reproduce,
    runs,
    score,
    show_images,
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
COMMANDS: tuple[tuple[str, Any, str, str, str], ...] = (  # in the order of the work
    # name, function, group, summary of one line, example
    (
        "download",
        download.download,
        DATA,
        "Generate the mini challenge, or get the real data.",
        "--config layer6 --dry-run",
    ),
    (
        "config",
        config_command.show,
        DATA,
        "Print the configuration as a run would use it.",
        "--config layer6 --against paper",
    ),
    ("doctor", doctor.doctor, DATA, "Is this machine fit for a run?", "--config layer6"),
    (
        "rehearse",
        rehearse.rehearse,
        TRAIN,
        "Hours, memory, disk of a whole run, in minutes.",
        "--config layer6 --budget 48h",
    ),
    ("train", train.app, TRAIN, "Train the models of a run.", "all --jobs 2"),
    ("detect", detect.detect, USE, "Detect objects under every view.", "--split val"),
    ("fuse", fuse.fuse, USE, "Fuse detections of models and views.", "a.csv b.csv --out fused.csv"),
    ("predict", predict.predict, USE, "Score the relations of a split.", "--split test"),
    ("evaluate", evaluate.evaluate, USE, "Score a split with the official metrics.", "--split val"),
    (
        "score",
        score.app,
        USE,
        "Score prediction files, without a run.",
        "relations --truth vrd.csv --predictions submission.csv",
    ),
    ("compare", compare.compare, USE, "Runs side by side: better, or noise?", "runs/a runs/b"),
    ("runs", runs.runs, USE, "All runs: scores, state, what differs.", "runs"),
    ("report", report.report, USE, "Explain a run on one HTML page.", "runs/mini --open"),
    ("show", show_images.show, USE, "Draw relations and errors on images.", "--split val --sheet"),
    ("browse", browse.browse, USE, "Filter and step through images.", "runs/mini --open"),
    ("submit", submit.submit, SEND, "Write, check and send the submission.", "--dry-run"),
    ("submissions", submissions.submissions, SEND, "What was sent, and its scores.", "--plot boards.png"),
    ("export", export.app, TOOLS, "A split of a run for FiftyOne.", "fiftyone --split val --out fo"),
    ("classmap", classmap.classmap, TOOLS, "Match the 57 classes to a source's.", "coco"),
    (
        "transfer",
        transfer.transfer,
        TOOLS,
        "Partial weight transfer of a checkpoint.",
        "coco.pth --classes coco --out start.pth",
    ),
    ("reproduce", reproduce.app, TOOLS, "Repeat the paper's experiments.", "table1 --seeds 3"),
)


class _Grouped(TyperGroup):
    """Lists the commands in the order of the work, in groups: plain text, whose help comes at once."""

    def list_commands(self, _: Any) -> list[str]:
        """The commands' names."""
        return [name for name, *_ in COMMANDS]

    def format_commands(self, _: Any, formatter: Any) -> None:
        """Write a section a group."""
        for group in dict.fromkeys(group for _, _, group, *_ in COMMANDS):
            with formatter.section(group):
                formatter.write_dl([(name, text) for name, _, group_, text, _ in COMMANDS if group_ == group])


app = typer.Typer(
    cls=_Grouped,
    no_args_is_help=True,
    epilog="Example: kit train all --jobs 2",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command, _group, _summary, _example in COMMANDS:
    if isinstance(_command, typer.Typer):
        app.add_typer(_command, name=_name, epilog=f"Example: kit {_name} {_example}")
    else:
        app.command(_name, epilog=f"Example: kit {_name} {_example}".rstrip())(_command)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"kit {__version__}")
        raise typer.Exit


@app.callback()
def top(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
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
