"""Where a condition is tried: a folder, commands in it, and what is wrong with how they end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.command import Command, start
from tests.faults.judges import differences, outcome
from tests.faults.victims import RUN, Victim, World, options, timing_files, victims


class Absent(Exception):
    """What a condition needs is not there; the text says how it is installed."""


@dataclass(frozen=True)
class Scene:
    """Where a condition is tried: a folder, and what undisturbed commands make."""

    world: World
    folder: Path

    def victim(self, name: str) -> Victim:
        """A command by its name."""
        return next(victim for victim in victims() if victim.name == name)

    def begin(self, name: str, folder: Path | None = None) -> list[str]:
        """Put what a command begins with into the folder; its words."""
        victim = self.victim(name)
        victim.begin(self.world, folder or self.folder)
        return list(victim.words(self.world))

    def run(self, words: list[str], folder: Path | None = None, **environment: str) -> Command:
        """A command that has ended."""
        command = start(words, folder or self.folder, **environment)
        command.wait()
        return command

    def trained(self, folder: Path | None = None) -> Iterator[str]:
        """What differs from an undisturbed run after `kit train all`."""
        run = (folder or self.folder) / RUN
        yield from differences(of(run), of(self.world.run("fast", ["train", "all"]) / RUN))


def of(folder: Path) -> dict[str, object]:
    """What is in a folder, as the judges see it."""
    return outcome(folder, timing_files())


def says(command: Command, code: int, pattern: str) -> Iterator[str]:
    """What is wrong with the end of a command: its exit code, or its last line."""
    last = command.err.strip().splitlines()[-1:] or [""]
    if command.code != code or not re.fullmatch(pattern, last[0]) or "Traceback" in command.err:
        yield f"exit code {command.code}, expected {code} and {pattern!r}: {command.err[-600:]}"


def train_all() -> list[str]:
    """The command that most conditions disturb."""
    return ["train", "all", *options("fast")]
