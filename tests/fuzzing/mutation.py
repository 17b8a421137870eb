"""Damage: an input that was whole, changed in the ways in which files go wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

NUMBERS = (
    *(b"", b"0", b"-0", b"-1", b"1.5", b"65", b"256", b"1e-45", b"1e39", b"1e309", b"-1e400", b"nan", b"inf"),
    *(
        b"-Infinity",
        b"0x10",
        b"1_0",
        b"1,5",
        b"2019-01-01",
        b"null",
        b"true",
        b"9" * 30,
        b"9" * 5000,
        b"1e+5",
    ),
)
BYTES = (
    *(
        b"\0",
        b"\n",
        b"\r",
        b"\r\n",
        b'"',
        b'""',
        b",",
        b";",
        b"\t",
        b" ",
        b"'",
        b"\\",
        b"\x1b[2J",
        b"\xff\xfe",
    ),
    *(
        b"\xef\xbb\xbf",
        b"\xc3",
        b"\xed\xa0\x80",
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b"&a",
        b"*a",
        b"!!python/name:os",
    ),
    *(b"PK\x03\x04", b"\x1f\x8b", b"\x80\x04", b"PAR1", b"\xff\xd8", b"\xff\xd9", b"../", b"/", b"~", b"%s"),
)
LONGEST = 1 << 17  # bytes of a damaged input


def damaged(rng: random.Random, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """One to six changes to one of the seeds."""
    data = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 6))):
        data = rng.choice(CHANGES)(rng, data, seeds, words)
    return data[:LONGEST]


def _flip(rng: random.Random, data: bytes, *_: Sequence[bytes]) -> bytes:
    if not data:
        return data
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]


def _cut(rng: random.Random, data: bytes, *_: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _remove(rng: random.Random, data: bytes, *_: Sequence[bytes]) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.choice((1, 4, 16, 200)) :]


def _repeat(rng: random.Random, data: bytes, *_: Sequence[bytes]) -> bytes:
    start = rng.randrange(len(data) + 1)
    part = data[start : start + rng.choice((1, 8, 64))]
    return data[:start] + part * rng.choice((2, 3, 50, 2000)) + data[start:]


def _insert(rng: random.Random, data: bytes, _seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + rng.choice(rng.choice((BYTES, NUMBERS, words or BYTES))) + data[start:]


def _splice(rng: random.Random, data: bytes, seeds: Sequence[bytes], _words: Sequence[bytes]) -> bytes:
    other = rng.choice(seeds)
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _field(rng: random.Random, data: bytes, _seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """Another value between two separators."""
    separator = rng.choice((b",", b" ", b":", b"\n"))
    parts = data.split(separator)
    parts[rng.randrange(len(parts))] = rng.choice(rng.choice((NUMBERS, BYTES, words or NUMBERS)))
    return separator.join(parts)


def _line(rng: random.Random, data: bytes, *_: Sequence[bytes]) -> bytes:
    """Two lines change places, or one stands twice or nowhere."""
    lines = data.split(b"\n")
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(3)
    if kind == 0:
        lines[a], lines[b] = lines[b], lines[a]
    elif kind == 1:
        lines.insert(a, lines[b])
    else:
        del lines[a]
    return b"\n".join(lines)


def _noise(rng: random.Random, data: bytes, *_: Sequence[bytes]) -> bytes:
    start = rng.randrange(len(data) + 1)
    part = rng.randbytes(rng.choice((1, 2, 8, 64)))
    return data[:start] + part + data[start + len(part) :]


Change = Callable[..., bytes]
CHANGES: tuple[Change, ...] = (
    _flip,
    _cut,
    _remove,
    _repeat,
    _insert,
    _insert,
    _splice,
    _field,
    _field,
    _line,
    _noise,
)
