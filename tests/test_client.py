"""The real kaggle client, asked by kit, against a Kaggle on this machine that fails in every way."""

import gzip
import os
import zipfile

import pytest

from kit.kaggle.client import Answer, upload_name
from kit.kaggle.client_errors import KaggleError


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
    assert not caught.value.outcome_unknown


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
    assert caught.value.outcome_unknown == unsure


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
    assert caught.value.outcome_unknown


def test_a_file_of_the_competition(client, kaggle, tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    kaggle.files["a.csv"] = b"ImageId,PredictionString\n" * 10_000
    kaggle.tricks["GET"] = ["cut 1000", "reset"]
    (tmp_path / "out").mkdir()
    assert client.download("a.csv", tmp_path / "out").read_bytes() == kaggle.files["a.csv"]
    (tmp_path / "none").mkdir()
    with pytest.raises(KaggleError, match=r"no file b.csv"):
        client.download("b.csv", tmp_path / "none")


ODD = [
    '{"submissions": [{"ref": 1, "status": "SOMETHING_NEW"}]}',
    '{"submissions": [{"ref": "many", "status": "PENDING"}]}',
    '{"submissions": [{"ref": -4, "status": "PENDING"}]}',
    '{"submissions": [{"ref": 99999999999999999999999999, "status": "PENDING"}]}',
    '{"submissions": [{"ref": [], "status": []}]}',
    '{"submissions": [7]}',
    '{"submissions": 7}',
    "7",
]


@pytest.mark.parametrize("answer", ODD)
def test_odd_answers_are_one_line_or_nothing(client, kaggle, answer):
    kaggle.tricks["ListSubmissions"] = [f"answer {answer}"] * 3
    with pytest.raises(KaggleError, match="Kaggle's answer is not understood") as caught:
        client.submissions()
    assert "\n" not in str(caught.value)
    assert caught.value.outcome_unknown


def test_what_kaggle_writes_is_cut_and_escaped(client, kaggle):
    words = "\\u001b[31mred\\r\\n" + "x" * 100_000
    kaggle.tricks["ListSubmissions"] = [
        'answer {"submissions": [{"ref": 1, "status": "COMPLETE", "publicScore": "inf", "privateScore": "nan", '
        f'"description": "{words}", "errorDescription": "{words}"}}]}}'
    ]
    (answer,) = client.submissions()
    for text in (answer.description, answer.error):
        assert text.startswith("\\x1b[31mred x")
        assert len(text) <= 600
    assert (answer.public, answer.private) == (None, None)
    kaggle.tricks["ListSubmissions"] = ["status 400 \x1b[31mred" + "y" * 100_000]
    with pytest.raises(KaggleError, match=r"Kaggle refuses \(400\): \\x1b\[31mredyyy") as caught:
        client.submissions()
    assert len(str(caught.value)) < 700


def test_references_that_are_none_are_not_taken(client, kaggle, file):
    kaggle.tricks["CreateSubmission"] = ['answer {"message": "Successfully submitted", "ref": -7}']
    with pytest.raises(KaggleError, match="not understood") as caught:
        submit(client, file)
    assert caught.value.outcome_unknown


NAMES = [
    ("plain", "s.csv", "s.csv"),
    ("plain", "s.txt", "s.txt.csv"),
    ("plain", "s.csv.gz", "s.csv"),
    ("plain", "s.zip", "s.csv"),
    ("gzip", "s.csv", "s.csv.gz"),
    ("gzip", "s.csv.gz", "s.csv.gz"),
    ("gzip", "S.CSV.GZ", "S.CSV.GZ"),
    ("zip", "s.csv.gz", "s.csv.zip"),
    ("zip", "s.zip", "s.zip"),
    ("zip", "s", "s.csv.zip"),
]


@pytest.mark.parametrize(("kind", "name", "want"), NAMES)
def test_the_ending_says_what_the_file_is(tmp_path, kind, name, want):
    path = tmp_path / name
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("s.csv", "ImageId,PredictionString")
    else:
        path.write_bytes(gzip.compress(b"ImageId") if kind == "gzip" else b"ImageId")
    assert upload_name(path) == want
