"""Where a redirect may lead, by servers of the tests and by names that are looked up."""

import asyncio
import socket

import pytest
from yarl import URL

from kit.download.redirect_guard import RedirectGuard, literal, network
from kit.download.remote import FetchError
from tests.fetching import get
from tests.rawserver import raw, saying

BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"


def to(place):
    return b"HTTP/1.1 302 Found\r\nLocation: " + place.encode() + b"\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("8.8.8.8", "public"),
        ("2001:4860:4860::8888", "public"),
        ("127.0.0.1", "loopback"),
        ("127.8.9.10", "loopback"),
        ("0.0.0.0", "loopback"),
        ("::1", "loopback"),
        ("::", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("169.254.1.1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.1", "private"),
        ("fc00::1", "private"),
        ("224.0.0.1", "private"),
        ("255.255.255.255", "private"),
        ("169.254.169.254", "metadata"),
        ("::ffff:169.254.169.254", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
    ],
)
def test_networks(address, kind):
    assert network(address) == kind
    assert literal(address) == kind


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("localhost", "loopback"),
        ("a.localhost", "loopback"),
        ("127.1", "loopback"),
        ("0x7f000001", "loopback"),
        ("2130706433", "loopback"),
        ("0", "loopback"),
        ("0251.0376.0251.0376", "metadata"),
        ("example.org", None),
        ("dead.beef", None),
        ("", None),
    ],
)
def test_hosts_that_are_addresses_however_they_are_written(host, kind):
    assert literal(host) == kind


def followed(place, target):
    async def run():
        guard = RedirectGuard()
        guard.allow(URL(place))
        return str(guard.follow(URL(place), target))

    return asyncio.run(run())


REFUSED = [
    (
        "https://a.org/x",
        "http://a.org/y",
        "a redirect to http://a.org is refused: it leads from https to http",
    ),
    ("http://a.org/x", "ftp://a.org/y", "a redirect to ftp: is refused: only http and https"),
    ("http://a.org/x", "file:///etc/passwd", "a redirect to file: is refused: only http and https"),
    ("http://a.org/x", "javascript:alert(1)", "a redirect to javascript: is refused"),
    (
        "http://a.org/x",
        "//127.0.0.1/y",
        "a redirect to http://127.0.0.1 is refused: that is a loopback address",
    ),
    (
        "https://a.org/x",
        "https://[::1]:99/y",
        r"to https://\[::1\]:99 is refused: that is a loopback address",
    ),
    ("http://a.org/x", "http://127.1/y", "that is a loopback address"),
    ("http://a.org/x", "http://localhost./y", "that is a loopback address"),
    ("http://a.org/x", "http://169.254.169.254/latest", "that is a metadata address"),
    ("http://a.org/x", "http://169.254.0.7/", "that is a link-local address"),
    ("http://a.org/x", "http://10.0.0.1/", "that is a private address"),
    ("http://127.0.0.1/x", "http://10.0.0.1/", "that is a private address"),
    ("http://10.0.0.1/x", "http://127.0.0.1/", "that is a loopback address"),
    ("http://a.org/x", "http://[/", "it leads to no address"),
    ("http://a.org/x", "http://b:99999/", "it leads to no address"),
    ("http://a.org/x", "http://me:hidden@10.0.0.1/", "a redirect to http://10.0.0.1 is refused"),
]


@pytest.mark.parametrize(("place", "target", "why"), REFUSED)
def test_refusals_name_their_cause(place, target, why):
    with pytest.raises(FetchError, match=why) as caught:
        followed(place, target)
    assert not caught.value.retryable
    assert "hidden" not in caught.value.message


@pytest.mark.parametrize(
    ("place", "target", "expected"),
    [
        ("http://a.org/x", "https://b.org/y", "https://b.org/y"),
        ("http://a.org/x/z", "../y?q=1", "http://a.org/y?q=1"),
        ("https://a.org/x", "https://me:pw@b.org/y", "https://b.org/y"),
        ("http://127.0.0.1:80/x", "http://127.0.0.2:81/y", "http://127.0.0.2:81/y"),
        ("http://10.0.0.1/x", "http://192.168.0.1/", "http://192.168.0.1/"),
        ("http://169.254.169.254/x", "http://169.254.169.254/y", "http://169.254.169.254/y"),
    ],
)
def test_what_is_followed(place, target, expected):
    assert followed(place, target) == expected


NAMES = {
    "given.test": "8.8.8.8",
    "inside.test": "127.0.0.1",
    "office.test": "10.0.0.1",
    "other.test": "10.9.9.9",
}


@pytest.fixture
def names(monkeypatch):
    def look(host, port, *_, **__):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (NAMES[host], port))]

    monkeypatch.setattr(socket, "getaddrinfo", look)


def resolved(given, host):
    async def run():
        guard = RedirectGuard()
        guard.allow(URL(f"http://{given}"))
        await guard.resolve(given)
        return await guard.resolve(host)

    return asyncio.run(run())[0]["host"]


def test_names_are_looked_up_before_they_are_followed(names):
    assert resolved("office.test", "other.test") == "10.9.9.9"
    assert resolved("inside.test", "given.test") == "8.8.8.8"
    for given, host, kind in (
        ("given.test", "inside.test", "loopback"),
        ("given.test", "office.test", "private"),
        ("office.test", "inside.test", "loopback"),
    ):
        with pytest.raises(FetchError, match=f"a redirect to {host} is refused: that is a {kind} address"):
            resolved(given, host)


def test_a_name_that_moves_opens_no_network(names, monkeypatch):
    async def run():
        guard = RedirectGuard()
        guard.allow(URL("http://given.test"))
        await guard.resolve("given.test")
        monkeypatch.setitem(NAMES, "given.test", "127.0.0.1")
        await guard.resolve("given.test")
        return guard.networks

    assert asyncio.run(run()) == {"public"}


def test_redirects_are_followed_to_an_end(tmp_path):
    script = [to("/a"), to("b?c=d"), BODY]
    with raw(lambda line, n: line.sendall(script[n - 1])) as server:
        assert get(server, tmp_path / "f.bin")
    assert (tmp_path / "f.bin").read_bytes() == b"body"
    assert [r.split()[1] for r in server.requests] == ["/f.bin", "/a", "/b?c=d"]
    with raw(saying(to("/again"))) as server, pytest.raises(FetchError, match="more than 5 redirects"):
        get(server, tmp_path / "g.bin")
    assert len(server.requests) == 6


def test_name_and_password_stay_with_their_server(tmp_path):
    with raw(saying(BODY)) as other:

        def script(line, n):
            line.sendall(to("/here") if n == 1 else to(f"{other.url}/there"))

        with raw(script) as server:
            server.url = server.url.replace("http://", "http://me:hidden@")
            assert get(server, tmp_path / "f.bin")
    first, second = server.requests
    (third,) = other.requests
    assert (
        first.count("Authorization: Basic bWU6aGlkZGVu")
        == second.count("Authorization: Basic bWU6aGlkZGVu")
        == 1
    )
    assert "authorization" not in third.lower()
    assert "hidden" not in first + second + third
