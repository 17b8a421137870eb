"""What kit says beside its results: lines of the logger "kit".

In a library's use they go where its caller sends them, by Python's default warnings alone to stderr; the command
line calls `configure_logging`.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from functools import cache

from kit.base.errors import printable

logger = logging.getLogger("kit")


def configure_logging(verbosity: int = 0) -> None:
    """Write the lines to stderr: from info on; with 1 also debug, with -1 warnings and errors alone."""
    logger.setLevel(logging.INFO - 10 * max(-1, min(verbosity, 1)))
    logger.propagate = False
    if not any(isinstance(handler, _StderrHandler) for handler in logger.handlers):
        logger.addHandler(_StderrHandler())


def verbosity() -> int:
    """What `configure_logging` was given, for the processes that are started from here."""
    return (logging.INFO - logger.getEffectiveLevel()) // 10


@cache
def warn_once(text: str) -> None:
    """Log a warning, where this process has not logged the very same before."""
    logger.warning(text)


class _StderrHandler(logging.Handler):
    """Writes a line to the record's `stream`, or to stderr as it is at the moment (above a live progress line)."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line; work does not end because nobody can hear of it."""
        stream = getattr(record, "stream", sys.stderr)
        with suppress(OSError):
            stream.write(f"{record.getMessage()}\n")
            stream.flush()


def _as_one_line(record: logging.LogRecord) -> bool:
    record.msg, record.args = printable(record.getMessage()), None
    return True


logger.addFilter(_as_one_line)
