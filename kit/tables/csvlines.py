"""Where the lines and records of a CSV file begin and end: what its places are told by, in bounded memory."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import FileFault
from kit.tables.unpack import BROKEN, broken

BLOCK = 16 << 20  # bytes of text read at a time
PIECE = 1 << 20  # bytes passed over at a time
LOOK = 1 << 16  # bytes looked at at a time
OPEN_QUOTE = "a quote is opened and not closed"
LONE_CR = re.compile(r"(?<=\r)(?!\n)")


class Readable(Protocol):
    """What bytes are read from."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Put the next bytes into a buffer, fewer than fit only at the end; how many they are."""
        ...


class WatchedQuotes:
    """A file's bytes as they are read; odd: a line was among them with an odd number of quotes."""

    def __init__(self, file: io.BufferedReader) -> None:
        self.file, self.odd, self.inside = file, False, False

    def readinto(self, buffer: memoryview) -> int:
        """Put the next bytes into a buffer; how many they are."""
        count = self.file.readinto(buffer)
        codes = np.frombuffer(buffer, np.uint8)[:count]
        if not self.odd and (self.inside or _has_quote(codes)):
            quotes = np.flatnonzero(codes == ord('"'))
            passed = np.searchsorted(quotes, np.flatnonzero(codes == ord("\n"))) + self.inside
            self.odd = bool((passed % 2).any())
            self.inside = (len(quotes) + self.inside) % 2 == 1
            self.odd |= self.inside and count < len(buffer)
        return count


def _has_quote(codes: NDArray[np.uint8]) -> bool:
    """Whether one is among many bytes; what is looked at at a time stays in a processor's cache."""
    return any((codes[start : start + LOOK] == ord('"')).any() for start in range(0, len(codes), LOOK))


def whole_lines(file: Readable, part: int, size: int) -> Iterator[memoryview]:
    """Yield the bytes in stretches of whole lines, of about `part` bytes.

    Raises ValueError for a line longer than `size`, which is no less than `part`.
    """
    rest = b""
    while True:
        text = bytearray(len(rest) + part)
        text[: len(rest)] = rest
        count = file.readinto(memoryview(text)[len(rest) :])
        if not count:
            break
        stop = len(rest) + count
        if stop > size and max(text.find(sign, 0, size + 1) for sign in (b"\n", b"\r")) < 0:
            raise ValueError(f"a line longer than {size} bytes")
        # a last \r may be half of a line's end
        end = text.rfind(b"\n", 0, stop) + 1 or text.rfind(b"\r", 0, stop - 1) + 1
        if end:
            yield memoryview(text)[:end]
        rest = bytes(memoryview(text)[end:stop])
    if rest:
        yield memoryview(rest)


class Lines:
    """The lines of a file as a CSV reader wants them, none longer than a block.

    number: of the last line given out; first: of the first line of the record at work.
    """

    def __init__(self, path: Path, file: io.BufferedReader, passed: int) -> None:
        self.path, self.file, self.number = path, file, passed
        self.pieces: list[str] = []
        self.begin()

    def begin(self) -> None:
        """A new record begins with the next line."""
        self.first, self.size = self.number + 1, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self.pieces:
            self.pieces = self._read()
        self.number += 1
        text = self.pieces.pop()
        self.size += len(text)
        if self.size > 2 * BLOCK:
            raise self.too_long("")
        return text

    def too_long(self, problem: str) -> FileFault:
        """The fault of a record that does not end, or of what a CSV reader says."""
        if problem and "limit" not in problem:
            return FileFault(self.path, problem, line=self.number)
        if self.number > self.first:
            return FileFault(self.path, OPEN_QUOTE, line=self.first)
        return FileFault(self.path, f"a line longer than {BLOCK >> 20} MB", line=self.first)

    def _read(self) -> list[str]:
        try:
            line = self.file.readline(BLOCK + 1)
        except BROKEN as error:
            raise broken(self.path, error, self.number + 1) from None
        if not line:
            raise StopIteration
        if len(line) > BLOCK:
            self.number += 1
            raise self.too_long("")
        text = line.decode("utf-8", "surrogateescape")
        return [piece for piece in reversed(LONE_CR.split(text)) if piece] if "\r" in text else [text]


def plain_rows(file: io.BufferedReader, most: int) -> tuple[int, int]:
    """Where the data rows end that need no CSV reader, `most` of them at most: the byte, and how many they are.

    They end before the line with a quote, before a blank one and one with a lone carriage return.
    """
    rows, before = 0, b""
    try:
        begin = len(file.readline(BLOCK + 1))
        while rows < most and (block := file.read(PIECE)):
            text = before + block
            whole = text[: text.rfind(b"\n") + 1]
            plain = _plain(whole)
            ends = np.flatnonzero(np.frombuffer(whole, np.uint8)[:plain] == ord("\n"))[: most - rows]
            begin += int(ends[-1]) + 1 if len(ends) else 0
            rows += len(ends)
            before = text[len(whole) :]
            if plain < len(whole) or len(before) > BLOCK:
                break
    except BROKEN:
        pass
    return begin, rows


def over_lines(fields: list[str]) -> bool:
    """Whether a field goes on over the end of its line."""
    return any("\n" in field or "\r" in field for field in fields)


def _plain(lines: bytes) -> int:
    """The bytes of whole lines, from their first on, that hold no quote, no blank line, no lone carriage return."""
    odd = [lines.find(sign) for sign in (b'"', b"\n\n", b"\n\r")]
    if lines[:1] in (b"\n", b"\r"):
        odd.append(0)
    if lines.count(b"\r") != lines.count(b"\r\n") and (lone := re.search(rb"\r(?!\n)", lines)):
        odd.append(lone.start())
    first = min((place for place in odd if place >= 0), default=len(lines))
    return lines.rfind(b"\n", 0, first) + 1
