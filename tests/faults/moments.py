"""When a command is killed, and which of its processes."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.faults.command import Command, start
from tests.faults.hook import Hook


@dataclass(frozen=True)
class Measured:
    """Of an undisturbed command: operations on files, and seconds."""

    operations: int
    seconds: float


@dataclass(frozen=True)
class Moment:
    """at: the operation on files, of all of the command's processes, or the second; whom: which process is killed.

    whom: its first process, one of those that it started (or that is at the operation), or all at once.
    """

    at: int | float
    whom: str

    @classmethod
    def draw(cls, rng: random.Random, measured: Measured) -> Moment:
        """Any moment of a command: half of them before an operation, the others at a random time."""
        if rng.random() < 0.5:
            return cls(rng.randint(1, max(1, measured.operations)), rng.choice(("first", "that")))
        return cls(rng.uniform(0, measured.seconds), rng.choice(("first", "one", "all")))

    def __str__(self) -> str:
        when = f"before operation {self.at}" if isinstance(self.at, int) else f"after {self.at:.2f} s"
        return f"{self.whom} process killed {when}" if self.whom != "all" else f"all killed {when}"

    def strike(self, words: Sequence[str], folder: Path, rng: random.Random) -> tuple[Command, str]:
        """Run a command until the kill; it, and what was struck: empty where it came to its end before."""
        count, told = (folder.with_name(f"{folder.name}.{end}") for end in ("count", "told"))
        for path in (count, told):
            path.unlink(missing_ok=True)
        if isinstance(self.at, int):
            hook = Hook(f"{folder}/", str(count), self.at, int(self.whom == "first"), str(told))
            command = start(words, folder, hook)
            command.wait()
            return command, told.read_text(encoding="utf-8") if told.exists() else ""
        command = start(words, folder)
        time.sleep(self.at)
        struck = self._kill(command, rng)
        command.wait()
        return command, struck

    def _kill(self, command: Command, rng: random.Random) -> str:
        processes = [] if command.ended() else command.processes()
        if self.whom == "first":
            processes = [pid for pid in processes if pid == command.pid]
        elif self.whom == "one":
            processes = [rng.choice(processes[1:] or processes)] if processes else []
        names = [_name(pid) for pid in processes]
        for pid in processes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return ", ".join(names)


def measure(words: Sequence[str], folder: Path) -> tuple[Command, Measured]:
    """Run a command undisturbed, and count."""
    count = folder.with_name(f"{folder.name}.count")
    count.unlink(missing_ok=True)
    before = time.monotonic()
    command = start(words, folder, Hook(f"{folder}/", str(count)))
    command.wait()
    return command, Measured(count.stat().st_size, time.monotonic() - before)


def _name(pid: int) -> str:
    """What a process is, in short."""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
        named = [w for w in words if "kit." in w or "multiprocessing." in w or w.startswith("ray::")]
        return (named or ["the command"])[0].split(" ")[-1][:40]
    return "gone"
