"""The life of a process of kit: signals, streams, its work, one line for an error, the exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from kit.base.errors import FULL, KitError, first_line, printable

Work = Callable[[Sequence[str]], int]  # of the words after the program's name; gives the exit code
TRACEBACK = "KIT_TRACEBACK"  # environment: show where an unforeseen error comes from
EXTRAS = {
    "xgboost": "train",
    "numba": "train",
    "matplotlib": "train",
    "pandas": "train",
    "scipy": "train",
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
    "jinja2": "report",
    "ray": "ray",
}


def run_as_process(work: Work, words: Sequence[str]) -> NoReturn:
    """Do some work as the whole of this process; a stop by a signal is one line and 128 + its number."""
    from kit.base import stopping

    stopping.install()
    code = 0
    try:
        _open_streams()
        code = _flushed(guarded(work, words))
    except BaseException:
        if stopping.stopped_by() is None:
            raise
    signum = stopping.stopped_by()
    if signum is not None:
        stopping.tell()
        code = 128 + signum
    if code:
        stopping.leave(code)
    stopping.uninstall()
    sys.exit(0)


def guarded(work: Work, words: Sequence[str]) -> int:
    """Do some work; a user's error is one line on stderr. Returns the exit code: 2 after an error.

    Raises KeyboardInterrupt, and with KIT_TRACEBACK=1 in the environment also what nobody foresaw.
    """
    try:
        return work(words)
    except KitError as error:
        return _fail(f"{error}{_notes(error)}")
    except BrokenPipeError:
        _discard(sys.stdout)
        return 1
    except Exception as error:
        text = _told(error)
        if text is None:
            if os.environ.get(TRACEBACK):
                raise
            text = f"internal error: {type(error).__name__}: {error} (set {TRACEBACK}=1 for details)"
        return _fail(f"{text}{_notes(error)}")


def _notes(error: BaseException) -> str:
    """Where an error comes from, as far as it was noted."""
    notes = getattr(error, "__notes__", ())
    return f" (in {'; '.join(notes)})" if notes else ""


def _told(error: Exception) -> str | None:
    """One line for an error that is no fault of kit; None for one that nobody foresaw."""
    if isinstance(error, ModuleNotFoundError):
        extra = EXTRAS.get((error.name or "").split(".")[0])
        return (
            f"{error.name} is not installed; install kit with it: pip install 'kit[{extra}]'"
            if extra
            else None
        )
    message = getattr(error, "format_message", None)  # a wrong option or argument
    if message is not None:
        return str(message())
    if type(error).__name__ == "Abort":  # the parser's word for an input that ended at a question
        return "nothing was done: the question was not answered"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or _no_memory(error):
        return f"out of memory ({first_line(error)}); close other programs, or lower batch_size, workers or shard"
    if _lost_worker(error):
        return f"a process that it had started was killed (out of memory?): {first_line(error)}; begin again"
    if isinstance(error, OSError) and error.errno is not None:
        place = f"{error.filename}: " if error.filename else "stdout: " if error.errno in FULL else ""
        return f"{place}{error.strerror or errno.errorcode.get(error.errno, 'failed')}"
    return None


def _lost_worker(error: Exception) -> bool:
    """Whether a process of a pool, or a worker of a DataLoader, went without an error of its own."""
    text = str(error)
    return type(error).__name__ == "BrokenProcessPool" or (
        isinstance(error, RuntimeError) and text.startswith("DataLoader worker (pid")
    )


def _no_memory(error: Exception) -> bool:
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _fail(text: str) -> int:
    from kit.base import stopping

    if stopping.stopped_by() is not None:  # an error of what was cut off; the stop has its own line
        return 2
    if text.startswith("Usage:"):  # a command group without a command: its help
        sys.stderr.write(f"{text}\n")
    else:
        sys.stderr.write(f"kit: {printable(text, 1200)}\n")
    return 2


def _open_streams() -> None:
    """Streams that take every character and are never closed: what they cannot show is escaped."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        else:
            stream.reconfigure(errors="backslashreplace")


def _flushed(code: int) -> int:
    """The exit code, once stdout has taken all that was printed."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
        return code or 1
    except OSError as error:
        _discard(sys.stdout)
        return code or _fail(f"stdout: cannot be written ({error.strerror})")
    return code


def _discard(stream: object) -> None:
    """Let what a stream still holds go nowhere."""
    fileno = getattr(stream, "fileno", None)
    if fileno is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), fileno())
