"""Errors in words, and an answer that trickles, without a server."""

import aiohttp
import pytest

from kit.download import http_client
from kit.download.http_client import StallGuard, as_fetch_error
from kit.download.remote import FetchError


@pytest.mark.parametrize(
    ("error", "cause", "retryable"),
    [
        (
            aiohttp.ClientConnectorDNSError(None, OSError(1, "x")),
            "no network: the address is not found",
            True,
        ),
        (aiohttp.ClientConnectorCertificateError(None, ValueError()), "its certificate is not trusted", True),
        (aiohttp.ServerDisconnectedError(), "the connection was cut", True),
        (ConnectionResetError(), "the connection was cut", True),
        (aiohttp.ClientResponseError(None, (), status=400), "the server's answer is not understood", True),
        (aiohttp.InvalidURL("x"), "no address (that of a proxy begins with http://)", False),
        (OSError(28, "No space left on device"), "it cannot be written (No space left on device)", False),
        (
            aiohttp.ClientHttpProxyError(None, (), status=407),
            "the proxy does not let it through (HTTP 407)",
            True,
        ),
    ],
)
def test_errors_in_words(error, cause, retryable):
    known = as_fetch_error(error)
    assert known.message.startswith(cause)
    assert known.retryable == retryable


def test_an_answer_that_trickles(monkeypatch):
    now = iter([0.0, 5.0, 10.5, 15.0, 21.0])
    monkeypatch.setattr(http_client.time, "monotonic", lambda: next(now))
    stall = StallGuard(10)
    stall.add(1)
    stall.add(http_client.MIN_BYTES)
    stall.add(400)
    with pytest.raises(FetchError, match=r"too slow: 800 bytes in 10 s"):
        stall.add(400)
