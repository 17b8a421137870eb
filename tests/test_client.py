"""The real kaggle client, asked by kit, against a Kaggle on this machine that fails in every way."""

import os
import socket
import sys

import pytest
from requests import exceptions
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError, ProxyError

from kit.kaggle.client import Answer, Client
from kit.kaggle.credentials import open_to_others, sources
from kit.kaggle.faults import KaggleError, fault
from kit.kaggle.wire import Wire
from kit.patience import Patience
from tests.fakekaggle import KEY, SLUG, TOKEN

HASTY = Patience(connect=1, read=0.5, tries=3, wait=0.01)


@pytest.fixture
def slept():
    return []


@pytest.fixture
def client(kaggle, slept):
    return Client(SLUG, HASTY, slept.append)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "submission.csv"
    path.write_bytes(os.urandom(300_000))
    return path


def submit(client, file, words="hello"):
    return client.create(client.upload(file), words)


def test_a_submission_from_upload_to_score(client, kaggle, file, capsys):
    assert client.remaining() == 5
    told = []
    token = client.upload(file, told.append)
    assert told[-1] == file.stat().st_size
    assert told == sorted(told)
    ref = client.create(token, "hello")
    assert client.submission(ref) == Answer(ref, "pending", "hello")
    assert client.submission(ref) == Answer(ref, "complete", "hello", 0.41, 0.39)
    assert kaggle.submissions[0]["data"] == file.read_bytes()
    assert capsys.readouterr().out == ""


def test_all_pages_are_listed(client, kaggle, file):
    token = client.upload(file)
    refs = [client.create(token, f"n{i}") for i in range(5)]
    assert [a.ref for a in client.submissions()] == refs[::-1]


def test_without_a_team_the_limit_is_not_known(client, kaggle):
    kaggle.left = kaggle.used = 0
    assert client.remaining() is None
    kaggle.used = 2
    assert client.remaining() == 0


@pytest.mark.parametrize("trick", ["status 404 no such call", "status 400", 'answer {"numToday": "many"}'])
def test_a_kaggle_that_does_not_tell_the_limit_stops_nobody(client, kaggle, trick):
    kaggle.tricks["GetSubmissionLimits"] = [trick]
    assert client.remaining() is None


def test_what_is_refused_by_the_scoring_says_why(client, kaggle, file):
    kaggle.looks, kaggle.refused = 0, "Evaluation Exception: missing ids"
    assert client.submission(submit(client, file)) == Answer(1000, "error", "hello", error=kaggle.refused)


LOGINS = {
    "nothing": ({}, {}, "no Kaggle credentials; make a token at .* KAGGLE_API_TOKEN .* kaggle.json"),
    "wrong key": (
        {"KAGGLE_USERNAME": "someone", "KAGGLE_KEY": "bad-77"},
        {},
        "accept KAGGLE_USERNAME and KAGGLE_KEY",
    ),
    "key": ({"KAGGLE_USERNAME": "someone", "KAGGLE_KEY": KEY}, {}, ""),
    "key file": ({}, {"kaggle.json": f'{{"username": "someone", "key": "{KEY}"}}'}, ""),
    "broken key file": ({}, {"kaggle.json": "{"}, "no usable Kaggle credentials in .*kaggle.json"),
    "token": ({"KAGGLE_API_TOKEN": TOKEN}, {}, ""),
    "token file": ({}, {"access_token": TOKEN}, ""),
    "wrong token": ({"KAGGLE_API_TOKEN": "old-77"}, {}, "no usable Kaggle credentials in KAGGLE_API_TOKEN"),
    "wrong token beside a good key": (
        {"KAGGLE_API_TOKEN": "old-77", "KAGGLE_USERNAME": "someone", "KAGGLE_KEY": KEY},
        {},
        r"accept KAGGLE_API_TOKEN \(used before KAGGLE_USERNAME and KAGGLE_KEY\); make a new token",
    ),
}


@pytest.mark.parametrize("name", LOGINS)
def test_every_form_of_credentials(kaggle, monkeypatch, tmp_path, name):
    variables, files, expected = LOGINS[name]
    for variable in ("KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(variable)
    for module in [m for m in sys.modules if m.partition(".")[0] in ("kaggle", "kagglesdk")]:
        monkeypatch.delitem(sys.modules, module)  # it looks for its files when it is imported
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    for path, text in files.items():
        (tmp_path / "home/.kaggle").mkdir(exist_ok=True)
        (tmp_path / "home/.kaggle" / path).write_text(text)
    if not expected:
        assert Client(SLUG, HASTY).remaining() == 5
        return
    with pytest.raises(KaggleError, match=expected) as caught:
        Client(SLUG, HASTY).submissions()
    assert not caught.value.unsure
    assert not [secret for secret in (KEY, TOKEN, "-77") if secret in str(caught.value)]


def test_a_key_that_others_can_read_is_found(kaggle, tmp_path, monkeypatch):
    path = tmp_path / "home/.kaggle/kaggle.json"
    path.parent.mkdir()
    path.write_text("{}")
    path.chmod(0o644)
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    monkeypatch.setenv("KAGGLE_API_TOKEN", str(token))
    assert open_to_others() == [path]
    assert sources() == ["KAGGLE_API_TOKEN", "KAGGLE_USERNAME and KAGGLE_KEY", str(path)]
    path.chmod(0o600)
    assert open_to_others() == []
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    (tmp_path / "kaggle.json").write_text("{}")
    assert open_to_others() == [tmp_path / "kaggle.json"]


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
    found = fault(error, SLUG, Wire(HASTY))
    with pytest.raises(KaggleError, match=expected):
        raise found
    assert found.unsure == any(error is after for after, _ in AFTER)
    assert "hidden" not in str(found)


def test_an_unreachable_proxy(kaggle, client, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://me:hidden@127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://me:hidden@127.0.0.1:9")
    with pytest.raises(KaggleError, match=r"the proxy 127.0.0.1:9") as caught:
        client.submissions()
    assert "hidden" not in str(caught.value)


def test_an_upload_goes_on_where_it_was_cut(client, kaggle, file):
    kaggle.tricks["PUT"] = ["cut 100000", "", "cut 50000"]
    token = client.upload(file)
    assert bytes(kaggle.uploads[token].data) == file.read_bytes()
    assert kaggle.ranges[-1] == "bytes 150000-299999/300000"
    assert len(kaggle.uploads) == 1


@pytest.mark.parametrize(
    "tricks", [["lost"], ["reset"], ["status 503"], ["status 500"], ["cut 10", "status 404"]]
)
def test_an_upload_survives(client, kaggle, file, tricks):
    kaggle.tricks["PUT"] = tricks
    assert bytes(kaggle.uploads[client.upload(file)].data) == file.read_bytes()


def test_an_upload_that_nobody_answers_ends_in_time(client, kaggle, file):
    kaggle.tricks["PUT"] = ["slow 3"] * 3
    with pytest.raises(KaggleError, match="the upload failed: Kaggle does not answer in time"):
        client.upload(file)


def test_a_file_that_goes_away_while_it_is_sent(client, kaggle, file):
    kaggle.before_answer = lambda name: file.unlink() if name == "StartSubmissionUpload" else None
    with pytest.raises(KaggleError, match=r"submission.csv: No such file or directory; mend it"):
        client.upload(file)
    with pytest.raises(KaggleError, match=r"submission.csv: No such file or directory"):
        client.upload(file)


@pytest.mark.parametrize(
    ("tricks", "expected"),
    [
        (["status 403"], r"Kaggle's storage refused the upload \(403\)"),
        (["reset"] * 9, "the upload failed: the connection to Kaggle was cut"),
        (["status 500"] * 9, r"refused the upload \(500\)"),
    ],
)
def test_an_upload_that_fails_says_why(client, kaggle, file, tricks, expected):
    kaggle.tricks["PUT"] = list(tricks)
    with pytest.raises(KaggleError, match=expected) as caught:
        client.upload(file)
    assert not caught.value.unsure


@pytest.mark.parametrize(
    ("trick", "unsure"),
    [(trick, True) for trick in ("lost", "reset", "status 500", "page", "slow 1.5")]
    + [(trick, False) for trick in ("status 400 no", "retry 1")],
)
def test_submitting_is_never_tried_twice(client, kaggle, file, trick, unsure):
    token = client.upload(file)
    kaggle.tricks["CreateSubmission"] = [trick]
    with pytest.raises(KaggleError) as caught:
        client.create(token, "hello")
    assert kaggle.seen["CreateSubmission"] == 1
    assert caught.value.unsure == unsure


def test_the_daily_limit_when_submitting(client, kaggle, file):
    token = client.upload(file)
    kaggle.left = 0
    with pytest.raises(KaggleError, match=r"limit of submissions .*allowance.*; Kaggle counts anew"):
        client.create(token, "hello")


def test_an_answer_without_a_reference(client, kaggle, file):
    token = client.upload(file)
    kaggle.tricks["CreateSubmission"] = [
        'answer {"message": "Successfully submitted"}',
        'answer {"message": "Busy"}',
    ]
    assert client.create(token, "hello") == 0
    with pytest.raises(KaggleError, match="Kaggle took no submission: Busy") as caught:
        client.create(token, "hello")
    assert caught.value.unsure


def test_a_file_of_the_competition(client, kaggle, tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    kaggle.files["a.csv"] = b"ImageId,PredictionString\n" * 10_000
    kaggle.tricks["GET"] = ["cut 1000", "reset"]
    (tmp_path / "out").mkdir()
    assert client.download("a.csv", tmp_path / "out").read_bytes() == kaggle.files["a.csv"]
    (tmp_path / "none").mkdir()
    with pytest.raises(KaggleError, match=r"no file b.csv"):
        client.download("b.csv", tmp_path / "none")
