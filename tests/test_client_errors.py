"""Every way of failing is one line with the cure, and says whether the call may have had its effect."""

import socket

import pytest
from requests import exceptions
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError, ProxyError

from kit.kaggle.client import Client
from kit.kaggle.client_errors import KaggleError, as_kaggle_error
from kit.kaggle.http_adapter import PatchedAdapter
from tests.fakekaggle import HASTY, SLUG

CALL = "ListSubmissions"
FAULTS = {
    "rules": (
        ["status 403 You must accept this competition's rules"],
        f"competitions/{SLUG}/rules, accept the rules",
    ),
    "not found": (["status 404 Not found"], f"Kaggle has no competition {SLUG}"),
    "limit": (
        ["status 400 Your team has used its Submission allowance (5)"],
        "limit of submissions is reached",
    ),
    "refused": (["status 400 wrong kind of file"], r"Kaggle refuses \(400\): wrong kind of file"),
    "too large": (["status 413"], "too large"),
    "proxy": (["status 407"], "the proxy .* wants a name and password"),
    "too often": (["retry 7"] * 3, r"asked too often \(429\); try again in 7 s"),
    "fault": (["status 502"] * 3, r"a fault of its own \(502\)"),
    "page": (["page"] * 3, "a web page came instead of Kaggle's answer; log in to the network"),
    "silence": (["slow 1.5"] * 3, "Kaggle does not answer in time"),
    "cut": (["reset"] * 3, "the connection to Kaggle was cut"),
    "nonsense": (['answer {"submissions": [{"status": "NEW"}]}'], "Kaggle's answer is not understood"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_failure_is_one_line_with_the_cure(kaggle, client, slept, name):
    kaggle.tricks[CALL], expected = list(FAULTS[name][0]), FAULTS[name][1]
    with pytest.raises(KaggleError, match=expected) as caught:
        client.submissions()
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    tries = len(FAULTS[name][0])
    assert kaggle.seen[CALL] == tries
    assert len(slept) == tries - 1
    if name == "too often":
        assert all(7 <= seconds <= 7.01 for seconds in slept)


@pytest.mark.parametrize("trick", ["retry 0", "status 500", "page", "reset", "slow 1"])
def test_a_passing_fault_passes(kaggle, client, trick, capsys):
    kaggle.tricks[CALL] = [trick]
    assert client.submissions() == []
    assert capsys.readouterr().err.count("trying again") == 1


def test_rules_and_names_that_kaggle_does_not_know(kaggle, client):
    kaggle.rules = False
    with pytest.raises(KaggleError, match=r"You must accept this competition's rules.*; open https://www"):
        client.submissions()
    with pytest.raises(KaggleError, match="Kaggle has no competition no-such-thing"):
        Client("no-such-thing", HASTY).submissions()


def test_a_wrong_clock_is_named_beside_what_else_is_wrong(kaggle, client):
    kaggle.late, kaggle.tricks[CALL] = 3600, ["status 401 Unauthenticated", "status 502"]
    with pytest.raises(
        KaggleError, match=r"clock is 60 minutes ahead of Kaggle's\); set this machine's clock"
    ):
        client.submissions()
    assert client.submissions() == []  # the 502 was tried again
    kaggle.rules = False
    with pytest.raises(KaggleError, match=r"accept .*ahead of Kaggle's\); open https://.*/rules.*; set this"):
        client.submissions()


def gave_up(reason):
    """What urllib3 raises at the end of its tries, inside requests' own error."""
    return MaxRetryError(HTTPConnectionPool("localhost"), "/", reason)


NOBODY = NewConnectionError(HTTPConnection("localhost"), "Connection refused")
TUNNEL = OSError("Tunnel connection failed: 407 Proxy Authentication Required")
BEFORE = [  # failures before a connection stood
    (
        exceptions.SSLError("certificate verify failed: not yet valid"),
        "not valid at this machine's time; set",
    ),
    (
        exceptions.SSLError("certificate verify failed: self-signed"),
        "not trusted; a proxy that reads the traffic",
    ),
    (
        exceptions.ConnectionError(gave_up(NameResolutionError("a", HTTPConnection("a"), socket.gaierror()))),
        "no network: Kaggle's address is not found",
    ),
    (exceptions.ConnectionError(gave_up(NOBODY)), "no network: Kaggle cannot be reached"),
    (exceptions.ConnectTimeout("..."), "cannot be reached in time"),
    (
        exceptions.ProxyError(gave_up(ProxyError("", TUNNEL))),
        r"the proxy 10.0.0.1:3128 \(HTTPS_PROXY\) does not let the call through \(407 Proxy Authentication",
    ),
    (exceptions.ProxyError(gave_up(ProxyError("", NOBODY))), "the proxy 10.0.0.1:3128"),
    (
        FileNotFoundError(2, "No such file or directory", "a.csv"),
        "^a.csv: No such file or directory; mend it",
    ),
]
AFTER = [
    (exceptions.SSLError("[SSL] record layer failure"), "the connection to Kaggle was cut"),
    (exceptions.ProxyError(gave_up(ProxyError("", ConnectionResetError()))), "was cut"),
    (
        exceptions.ConnectionError("('Connection aborted.', OSError(101, 'Network is unreachable'))"),
        "was cut",
    ),
    (exceptions.ChunkedEncodingError("..."), "the connection to Kaggle was cut"),
    (exceptions.ReadTimeout("..."), "does not answer in time"),
    (KeyError("NEW_STATUS"), "not understood"),
]


@pytest.mark.parametrize("proxy", ["http://me:hidden@10.0.0.1:3128", "me:hidden@10.0.0.1:3128"])
@pytest.mark.parametrize(("error", "expected"), BEFORE + AFTER)
def test_failures_of_the_line(monkeypatch, error, expected, proxy):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    found = as_kaggle_error(error, SLUG, PatchedAdapter(HASTY))
    with pytest.raises(KaggleError, match=expected):
        raise found
    assert found.outcome_unknown == any(error is after for after, _ in AFTER)
    assert "hidden" not in str(found)


def test_an_unreachable_proxy(kaggle, client, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://me:hidden@127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://me:hidden@127.0.0.1:9")
    with pytest.raises(KaggleError, match=r"the proxy 127.0.0.1:9") as caught:
        client.submissions()
    assert "hidden" not in str(caught.value)
