"""A command of kit in a process forked from this one (libraries are loaded once), in a session of its own."""

from __future__ import annotations

import atexit
import os
import secrets
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kit.base.process import TRACEBACK
from tests.faults.hook import INJECTED, Hook, install

ROOT = Path(__file__).parents[2]
MARK = "KIT_TESTS_COMMAND"  # environment: which command has started a program
LONGEST = 1200.0  # seconds that a command may take
GONE_IN = 30.0  # seconds that what a command started may outlive it


class HangError(Exception):
    """A command that came to no end."""


@dataclass
class Command:
    """A command at work. pid: of its process, and the name of its session; mark: of programs that leave this."""

    pid: int
    folder: Path
    mark: str
    code: int | None = None

    @property
    def out(self) -> str:
        """What it has printed."""
        return self.log("out").read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        """What it has said on stderr."""
        return self.log("err").read_text(encoding="utf-8")

    def log(self, name: str) -> Path:
        """Where a stream goes: beside the folder of the work."""
        return self.folder.with_name(f"{self.folder.name}.{name}")

    def ended(self) -> bool:
        """Whether it has ended; takes its exit code."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def wait(self, seconds: float = LONGEST) -> int:
        """The exit code. Raises HangError, and kills it, where it does not end."""
        end = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > end:
                self.kill()
                raise HangError(f"no end after {seconds:.0f} s")
            time.sleep(0.01)
        assert self.code is not None
        return self.code

    def processes(self) -> list[int]:
        """All processes that it has started and that are at work, its own first where it is."""
        mark = f"{MARK}={self.mark}".encode()
        pids = map(int, filter(str.isdigit, os.listdir("/proc")))
        found = [pid for pid in pids if _session(pid) == self.pid or _is_marked(pid, mark)]
        return sorted(found, key=lambda pid: (pid != self.pid, pid))

    def left(self, seconds: float = GONE_IN) -> list[int]:
        """What is still at work after a while."""
        end = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(0.1)
        return left

    def kill(self) -> None:
        """End the whole session."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def start(words: Sequence[str], folder: Path, hook: Hook | None = None, **environment: str) -> Command:
    """Begin `kit WORDS` in a folder. hook: of its operations on files; main is put in where it is negative."""
    sys.stdout.flush()
    mark = secrets.token_hex(8)
    pid = os.fork()
    command = Command(pid or os.getpid(), folder, mark)
    if pid == 0:
        _child(words, command, hook, environment)
    return command


def _child(words: Sequence[str], command: Command, hook: Hook | None, environment: dict[str, str]) -> None:
    code = 1
    try:
        os.setsid()
        os.chdir(command.folder)
        _streams(command)
        path = os.pathsep.join(map(str, (INJECTED, ROOT)))
        own = {TRACEBACK: "1", "PYTHONPATH": path, "NO_PROXY": "127.0.0.1", MARK: command.mark}
        os.environ.update({**own, **environment})
        if hook is not None:
            hook = Hook(**{**vars(hook), "main": os.getpid() if hook.main else 0})
            os.environ.update(hook.environment())
            install(hook)
        code = _kit(words)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _streams(command: Command) -> None:
    """No input; output into files."""
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, command.log("out"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, command.log("err"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        handle = os.open(path, flags)
        os.dup2(handle, number)
        os.close(handle)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _kit(words: Sequence[str]) -> int:
    """The command line, and what the end of a process of Python does; the exit code."""
    from kit.cli import main

    sys.argv = ["kit", *words]
    try:
        main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    return code


def _session(pid: int) -> int | None:
    """The session of a process that is no zombie."""
    with suppress(OSError, ValueError, IndexError):
        words = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return int(words[3]) if words[0] != "Z" else None
    return None


def _is_marked(pid: int, mark: bytes) -> bool:
    with suppress(OSError):
        return mark in Path(f"/proc/{pid}/environ").read_bytes()
    return False
