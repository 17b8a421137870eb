"""Tries, waits and words, without a server."""

import asyncio

import aiohttp
import pytest

from kit.base.retry import Patience
from kit.download import web
from kit.download.fault import FetchError
from kit.download.web import Pace, patiently

HASTY = Patience(connect=1, read=0.5, tries=3, wait=0.001)


def run(faults, progressed=lambda: False, patience=HASTY):
    """Attempts that fail so, one after the other, then succeed: what came, how many were made, the waits told."""
    left, made, told = list(faults), [], []

    async def attempt():
        made.append(1)
        if left:
            raise left.pop(0)
        return "here"

    async def all_of_it():
        return await patiently(attempt, patience, progressed, lambda *words: told.append(words))

    try:
        return asyncio.run(all_of_it()), len(made), told
    except FetchError as error:
        return error, len(made), told


def test_so_many_tries_and_no_more():
    assert run([])[:2] == ("here", 1)
    came, made, told = run([TimeoutError(), FetchError("busy")])
    assert (came, made) == ("here", 3)
    assert [error.cause for error, _ in told] == ["no answer in 0.5 s", "busy"]
    assert run([FetchError("busy")] * 3)[:2] == (FetchError("busy"), 3)


@pytest.mark.parametrize("last", [FetchError("gone", gone=True), FetchError("wrong", again=False)])
def test_what_cannot_get_better_is_not_tried_again(last):
    assert run([last])[:2] == (last, 1)


def test_a_try_that_got_further_does_not_count_unless_it_was_slow():
    assert run([FetchError("cut")] * 50, lambda: True)[:2] == ("here", 51)
    slow = FetchError("slow", slow=True)
    assert run([slow] * 50, lambda: True)[:2] == (slow, 3)


@pytest.mark.parametrize(
    ("error", "cause", "tries"),
    [
        (aiohttp.ClientConnectorDNSError(None, OSError(1, "x")), "no network: the address is not found", 3),
        (aiohttp.ClientConnectorCertificateError(None, ValueError()), "its certificate is not trusted", 3),
        (aiohttp.ServerDisconnectedError(), "the connection was cut", 3),
        (ConnectionResetError(), "the connection was cut", 3),
        (aiohttp.ClientResponseError(None, (), status=400), "the server's answer is not understood", 3),
        (aiohttp.InvalidURL("x"), "no address (that of a proxy begins with http://)", 1),
        (OSError(28, "No space left on device"), "it cannot be written (No space left on device)", 1),
        (
            aiohttp.ClientHttpProxyError(None, (), status=407),
            "the proxy does not let it through (HTTP 407)",
            3,
        ),
    ],
)
def test_faults_in_words(error, cause, tries):
    found, made, _ = run([error] * 9)
    assert found.cause.startswith(cause)
    assert made == tries


def test_an_answer_that_trickles(monkeypatch):
    now = iter([0.0, 5.0, 10.5, 15.0, 21.0])
    monkeypatch.setattr(web.time, "monotonic", lambda: next(now))
    pace = Pace(10)
    pace.add(1)
    pace.add(web.LEAST)
    pace.add(400)
    with pytest.raises(FetchError, match=r"too slow: 800 bytes in 10 s"):
        pace.add(400)
