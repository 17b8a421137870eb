"""The one kind of error a user meets: a line that says what is wrong, where, and what to do."""

from __future__ import annotations

import errno
from pathlib import Path

from kit.base.address import redacted

LONGEST = 600  # characters of a message: what a user can read in one line
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # numbers of errors for want of room


def printable(text: str, longest: int = LONGEST) -> str:
    """One line that a terminal shows as it is: control characters escaped, white space folded, its middle cut;
    addresses without their secrets.
    """
    text = redacted(" ".join(text[: 100 * longest].split()))
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if len(text) <= longest:
        return text
    half = (longest - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"


def first_line(error: BaseException) -> str:
    """What an error says in its first line; its kind where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


class KitError(Exception):
    """A user's error, shown as one line; the command line ends with exit code 2.

    `message` says what is wrong and where, `hint` what to do about it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = printable(message)
        self.hint = printable(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), vars(self))


class FileFault(KitError):
    """A fault in an input file, with its place: path, 1-based line, column name (each where known)."""

    def __init__(
        self,
        path: Path | str,
        problem: str,
        *,
        line: int | None = None,
        column: str | None = None,
        hint: str = "",
    ) -> None:
        self.path, self.line, self.column, self.problem = str(path), line, column, problem
        place = str(path)
        if line is not None:
            place += f", line {line}"
        if column is not None:
            place += f", column {column}"
        super().__init__(f"{place}: {problem}", hint)


def _restored(kind: type[KitError], values: dict[str, object]) -> KitError:
    """The error as another process raised it."""
    error = kind.__new__(kind)
    vars(error).update(values)
    return error
