"""Answers that no honest server gives: each has an end, and a line that says why."""

import asyncio
import gzip

import pytest

from kit.base.retry import RetryPolicy
from kit.download.photo_download import PhotoRequest, PhotoSource, fetch_photos
from kit.download.remote import FetchError
from tests.fetching import get, left
from tests.rawserver import endless, raw, saying

HASTY = RetryPolicy(connect_timeout=0.3, read_timeout=0.3, attempts=2, backoff=0.01)
OK, END = b"HTTP/1.1 200 OK\r\n", b"Content-Length: 3\r\n\r\nabc"
NOT_UNDERSTOOD, NO_JPEG = "the server's answer is not understood", "not a JPEG"
ANSWERS = {
    "a header of 100 KB": (saying(OK + b'ETag: "' + b"x" * 100_000 + b'"\r\n' + END), NOT_UNDERSTOOD),
    "a reason that paints": (saying(b"HTTP/1.1 400 \x1b[31m\x07\r\nContent-Length: 0\r\n\r\n"), "HTTP 400"),
    "a status that is none": (saying(b"HTTP/1.1 99999 x\r\n\r\n"), NOT_UNDERSTOOD),
    "nothing": (saying(b""), "the connection was cut"),
    "garbage": (saying(b"\x00\xff" * 100), NOT_UNDERSTOOD),
    "no HTTP": (saying(b"hello\r\n\r\n"), NOT_UNDERSTOOD),
    "headers without an end": (endless(OK, b"X-A: b\r\n"), NOT_UNDERSTOOD),
    "headers that trickle": (endless(OK, b"X-A: b\r\n", 0.1), "no answer in 0.3 s"),
    "another answer again and again": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "no answer in 0.3 s"),
    "a negative length": (saying(OK + b"Content-Length: -5\r\n\r\nabc"), NOT_UNDERSTOOD),
    "a length of 5,000 digits": (
        saying(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nabc"),
        NOT_UNDERSTOOD,
    ),
    "two lengths": (saying(OK + b"Content-Length: 5\r\n" + END), NOT_UNDERSTOOD),
    "pieces that are none": (saying(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), NOT_UNDERSTOOD),
    "packed as nobody packs": (saying(OK + b"Content-Encoding: gzip\r\n" + END), "the connection was cut"),
    "moved to nowhere": (
        saying(b"HTTP/1.1 302 x\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n"),
        "no address",
    ),
    "moved to a name that is none": (
        saying(b"HTTP/1.1 302 x\r\nLocation: http://a..b/\r\nContent-Length: 0\r\n\r\n"),
        "the address is not found",
    ),
    "moved to another that is none": (
        saying(b"HTTP/1.1 302 x\r\nLocation: http://xn--a/\r\nContent-Length: 0\r\n\r\n"),
        "no address",
    ),
    "a date beyond all": (
        saying(b"HTTP/1.1 503 x\r\nRetry-After: Mon, 99999999999999999999 Jan 2020 00:00:00 GMT\r\n" + END),
        "HTTP 503",
    ),
    "a part that nobody asked for": (
        saying(b"HTTP/1.1 416 x\r\nContent-Range: bytes */0\r\n" + END),
        "HTTP 416",
    ),
}
FOR_A_FILE = {
    "a length beyond the disk": (
        saying(OK + b"Content-Length: 999999999999999\r\n\r\nabc"),
        "it cannot be written .999,999,999,999,999 bytes, and .* are free",
    ),
    "an empty file": (saying(OK + b"Content-Length: 0\r\n\r\n"), "the file that came is empty"),
    "a range of 5,000 digits": (
        saying(b"HTTP/1.1 206 x\r\nContent-Range: bytes 0-2/" + b"9" * 5000 + b"\r\n" + END),
        "does not say how large",
    ),
    "a range in other digits": (
        saying("HTTP/1.1 206 x\r\nContent-Range: bytes 0-2/²\r\n".encode() + END),
        "does not say how large",
    ),
    "no range": (saying(b"HTTP/1.1 206 x\r\n" + END), "another part than was asked for"),
    "pieces without an end": (
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        "more than 1,000,000 bytes came",
    ),
    "much in little": (
        saying(OK + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + gzip.compress(bytes(9_000_000))),
        "more than 1,000,000 bytes came",
    ),
}


@pytest.mark.parametrize("name", [*ANSWERS, *FOR_A_FILE])
def test_a_file(tmp_path, monkeypatch, name):
    monkeypatch.setattr("kit.download.fetch.MAX_BYTES", 1_000_000)
    script, cause = (ANSWERS | FOR_A_FILE)[name]
    with raw(script) as server, pytest.raises(FetchError, match=cause):
        get(server, tmp_path / "f.bin", HASTY)
    assert not (tmp_path / "f.bin").exists()
    assert len(server.requests) <= 4


@pytest.mark.parametrize("name", ANSWERS)
def test_a_photo(tmp_path, name):
    script, cause = ANSWERS[name]
    with raw(script) as server:
        request = PhotoRequest(PhotoSource(server.url, tmp_path), 2, HASTY)
        stats = asyncio.run(fetch_photos(request, ["a"]))
    (told,) = stats.causes
    assert cause in told
    assert (stats.got, stats.missing) == (0, 0)


@pytest.mark.parametrize("tag", [b"x" * 8000, b"\x1b[31mred", b"\xff\xfe", b"a\tb"])
def test_a_tag_that_cannot_be_sent_back_tells_nothing(tmp_path, tag):
    def script(line, n):
        line.sendall(
            OK + b'ETag: "' + tag + b'"\r\nContent-Length: 6\r\n\r\n' + (b"abc" if n == 1 else b"abcdef")
        )

    with raw(script) as server:
        assert get(server, tmp_path / "f.bin", HASTY)
    assert (tmp_path / "f.bin").read_bytes() == b"abcdef"
    assert len(server.requests) == 2
    assert "If-Range" not in server.requests[1]
    assert left(tmp_path) == ["f.bin"]


def test_a_byte_at_a_time_has_an_end(tmp_path):
    """A server that gives one more byte at every try is not asked for ever."""

    def script(line, n):
        head = OK if n == 1 else b"HTTP/1.1 206 x\r\nContent-Range: bytes %d-999/1000\r\n" % (n - 1)
        line.sendall(head + b'ETag: "a"\r\nContent-Length: %d\r\n\r\nx' % (1001 - n))

    with raw(script) as server, pytest.raises(FetchError, match="the connection was cut"):
        get(server, tmp_path / "f.bin", HASTY)
    assert len(server.requests) == 2
