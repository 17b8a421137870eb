"""Where lines begin and end, against plain Python."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.tables.csvlines import LOOK, WatchedQuotes, whole_lines

STRETCHES = [
    (b"", 3, []),
    (b"ab", 3, [b"ab"]),
    (b"ab\n", 3, [b"ab\n"]),
    (b"ab\ncd\nef", 6, [b"ab\ncd\n", b"ef"]),
    (b"ab\r\ncd", 3, [b"ab\r\n", b"cd"]),  # the line's end is cut in two
    (b"ab\rcd\r", 3, [b"ab\r", b"cd\r"]),  # the same \r, and it was a whole one
    (b"ab\r\rcd\r\n", 3, [b"ab\r\r", b"cd\r\n"]),
    (b"\n\n\n\n", 2, [b"\n\n", b"\n\n"]),
]


@pytest.mark.parametrize(("data", "size", "stretches"), STRETCHES)
def test_where_lines_are_cut(data, size, stretches):
    assert list(whole_lines(io.BytesIO(data), size, size)) == stretches


@given(st.text(alphabet="ab\n\r", max_size=60).map(str.encode), st.integers(1, 20), st.integers(0, 19))
def test_stretches_are_whole_lines_or_a_line_is_too_long(data, size, less):
    stretches, is_told = [], False
    try:
        stretches += map(bytes, whole_lines(io.BytesIO(data), max(1, size - less), size))
    except ValueError:
        is_told = True
    longest = max(map(len, data.splitlines()), default=0)
    if b"\r" not in data.replace(b"\r\n", b"\n"):
        assert is_told == (longest > size)
    if is_told:
        assert longest > size
        return
    assert longest <= 2 * size  # with lone carriage returns it may be told late
    assert b"".join(stretches) == data
    assert [line for stretch in stretches for line in stretch.splitlines()] == data.splitlines()
    assert all(stretch.endswith((b"\n", b"\r")) for stretch in stretches[:-1])


def watched(data, size):
    quotes = WatchedQuotes(io.BufferedReader(io.BytesIO(data)))
    while quotes.readinto(memoryview(bytearray(size))):
        pass
    return quotes.odd


@given(st.text(alphabet='a"\n', max_size=60).map(str.encode), st.integers(1, 20))
def test_a_line_with_an_odd_number_of_quotes_is_seen(data, size):
    """A line's end is within a quoted field where the quotes before it are odd."""
    ends = [i for i, code in enumerate(data) if code == ord("\n")] + [len(data)]
    assert watched(data, size) == any(data.count(b'"', 0, end) % 2 for end in ends)


@pytest.mark.parametrize("place", [0, LOOK - 1, LOOK, 2 * LOOK + 5])
def test_a_quote_is_seen_wherever_it_stands(place):
    text = bytearray(b"a" * (2 * LOOK + 9))
    assert not watched(bytes(text) + b"\n", 3 * LOOK)
    text[place] = ord('"')
    assert watched(bytes(text) + b"\n", 3 * LOOK)
