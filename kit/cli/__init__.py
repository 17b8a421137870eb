"""The command line: parse, call, print. Heavy libraries are imported inside the command that needs them."""

from __future__ import annotations

import sys
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
from kit.errors import KitError

EXTRAS = {
    "xgboost": "train",
    "numba": "train",
    "matplotlib": "train",
    "pandas": "train",
    "torch": "detect",
    "mmdet": "detect",
    "mmengine": "detect",
    "mmcv": "detect",
    "cv2": "detect",
    "ensemble_boxes": "detect",
    "PIL": "detect",
    "kaggle": "kaggle",
    "requests": "kaggle",
    "urllib3": "kaggle",
    "six": "kaggle",
    "aiohttp": "download",
}

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


def main() -> None:
    """Run the command line; a user's error is one line on stderr and exit code 2."""
    try:
        code = app(standalone_mode=False)
    except KitError as error:
        code = _fail(str(error))
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        code = _fail(f"{error.name} is not installed; install kit with it: pip install 'kit[{extra}]'")
    except KeyboardInterrupt:
        code = _fail("stopped; finished stages are kept", 130)
    except BrokenPipeError:
        sys.stderr.close()
        code = 1
    except Exception as error:
        message = getattr(error, "format_message", None)  # a wrong option or argument
        if message is None:
            raise
        text = message()
        if text.startswith("Usage:"):  # a command group without a command: its help
            sys.stderr.write(f"{text}\n")
            sys.exit(2)
        code = _fail(text)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(text: str, code: int = 2) -> int:
    sys.stderr.write(f"kit: {' '.join(text.split())}\n")
    return code
