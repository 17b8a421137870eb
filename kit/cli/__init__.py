"""The command line: parse, call, print. The commands are in `kit.cli.app`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from kit.base.process import guarded, run_as_process


def main() -> NoReturn:
    """Run the command line as the whole of this process."""
    run_as_process(_command, sys.argv[1:])


def run(words: Sequence[str]) -> int:
    """Do what the words say, in this process; the exit code: 2 after an error, which is one line on stderr."""
    return guarded(_command, words)


def _command(words: Sequence[str]) -> int:
    from kit.base.log import configure_logging
    from kit.cli.app import call

    configure_logging()
    return call([_home(word) for word in words])


def _home(word: str) -> str:
    """A path or option with ~ where no shell has seen it, as in --run=~/x."""
    option, equals, value = word.partition("=")
    if equals and option.startswith("--") and option != "--message":
        return f"{option}={os.path.expanduser(value)}"
    return os.path.expanduser(word) if word == "~" or word.startswith("~/") else word
