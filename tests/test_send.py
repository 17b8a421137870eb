"""Nothing is lost and nothing is sent twice, wherever it stops."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kit.errors import KitError
from kit.kaggle.client import Client
from kit.kaggle.faults import KaggleError
from kit.kaggle.records import alone, new_record, read_records, stamp
from kit.kaggle.send import refresh, send, settle, wait_for_score
from tests.fakekaggle import SLUG
from tests.test_client import HASTY


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "submissions"


@pytest.fixture
def client(kaggle):
    return Client(SLUG, HASTY, lambda _: None)


@pytest.fixture
def record(tmp_path):
    (tmp_path / "s.csv").write_bytes(b"x" * 1000)
    return new_record(SLUG, tmp_path / "s.csv", "first try", local=0.4)


def states(folder):
    return [r.state for r in read_records(folder)]


def test_every_step_is_on_disk_before_it_is_taken(client, kaggle, record, folder):
    seen = {}
    kaggle.before_answer = lambda name: seen.setdefault(name, states(folder))
    send(client, record, folder)
    assert seen["PUT"] == ["uploading"]
    assert seen["CreateSubmission"] == ["sending"]
    assert states(folder) == ["pending"]
    wait_for_score(client, record, folder, 60)
    (kept,) = read_records(folder)
    assert (kept.state, kept.ref, kept.public, kept.private, kept.local) == (
        "complete",
        1000,
        0.41,
        0.39,
        0.4,
    )
    assert kept == record
    assert kept.scored >= kept.sent >= kept.created


def test_it_is_found_again_by_its_mark(client, kaggle, record, folder):
    send(client, replace(record, id="20260101T000000Z-00000000"), folder)
    kaggle.tricks["CreateSubmission"] = ["lost"]
    send(client, record, folder)
    assert (record.state, record.ref) == ("pending", 1001)
    assert kaggle.submissions[1]["description"] == f"first try {record.mark}"
    assert kaggle.seen["CreateSubmission"] == 2


def test_a_lost_answer_that_cannot_be_asked_for_is_left_open_and_completed_later(
    client, kaggle, record, folder
):
    kaggle.tricks = {"CreateSubmission": ["lost"], "ListSubmissions": ["status 500"] * 3}
    with pytest.raises(KaggleError, match="cut; it may have arrived: `kit submissions` looks for it"):
        send(client, record, folder)
    (kept,) = read_records(folder)
    assert (kept.state, kept.ref) == ("sending", None)
    refresh(client, [kept], folder)
    refresh(client, [kept], folder)
    assert (kept.state, kept.ref, kept.private, kept.error) == ("complete", 1000, 0.39, "")
    assert read_records(folder) == [kept]


def test_what_kaggle_does_not_list_has_not_arrived_after_a_while(client, kaggle, record, folder):
    kaggle.tricks["CreateSubmission"] = ["status 502"]
    with pytest.raises(KaggleError, match="may have arrived"):
        send(client, record, folder)
    refresh(client, [record], folder)
    assert states(folder) == ["sending"]
    record.sent = stamp(datetime.now(UTC) - timedelta(hours=1))
    refresh(client, [record], folder)
    assert states(folder) == ["failed"]


@pytest.mark.parametrize(
    ("tricks", "expected"),
    [
        ({"StartSubmissionUpload": ["status 403 no rules"]}, "accept the rules"),
        ({"PUT": ["status 403"]}, "storage refused"),
        ({"CreateSubmission": ["status 400 wrong file"]}, "wrong file"),
    ],
)
def test_what_surely_did_not_arrive_is_closed(client, kaggle, record, folder, tricks, expected):
    kaggle.tricks = tricks
    with pytest.raises(KaggleError, match=expected):
        send(client, record, folder)
    assert states(folder) == ["failed"]
    assert expected in read_records(folder)[0].error
    assert kaggle.submissions == []


def test_an_upload_that_was_stopped_is_closed(record, folder):
    record.save(folder)
    settle(read_records(folder), folder)
    assert states(folder) == ["failed"]


def test_waiting_survives_a_bad_line_and_ends_in_time(client, kaggle, record, folder):
    send(client, record, folder)
    kaggle.looks, clock = 3, iter(range(10_000))
    kaggle.tricks["GetSubmission"] = (
        ["reset"] * 4 + ["status 500"] * 3 + ['answer {"ref": 1000, "status": "NEW"}']
    )
    wait_for_score(client, record, folder, 1000, lambda: next(clock))
    assert record.state == "complete"
    other = new_record(SLUG, folder.parent / "s.csv", "second")
    send(client, other, folder)
    kaggle.looks = 10**9
    wait_for_score(client, other, folder, 20, lambda: next(clock))
    assert other.state == "pending"
    kaggle.tricks["GetSubmission"] = ["status 401"]
    with pytest.raises(KaggleError, match="does not accept"):
        wait_for_score(client, other, folder, 20, lambda: next(clock))


def test_many_open_ones_are_asked_for_together(client, kaggle, record, folder):
    records = [replace(record, id=f"20260101T00000{i}Z-0000000{i}") for i in range(5)]
    for own in records:
        send(client, own, folder)
    kaggle.looks = 0
    refresh(client, records, folder)
    assert states(folder) == ["complete"] * 5
    assert kaggle.seen["GetSubmission"] == 0
    before = kaggle.seen["ListSubmissions"]
    refresh(client, records, folder)
    assert kaggle.seen["ListSubmissions"] == before


def test_records_that_cannot_be_read_stop_everything(folder):
    folder.mkdir()
    assert read_records(folder) == []
    for text in ("{", "[]", '{"id": "a"}'):
        (folder / "a.json").write_text(text)
        with pytest.raises(KitError, match=r"a\.json: no record of a submission .*; mend it"):
            read_records(folder)


def test_one_at_a_time(folder):
    with alone(folder), pytest.raises(KitError, match="another kit is at work"), alone(folder):
        pass
    with alone(folder):
        pass
    (folder.parent / "file").write_text("")
    with pytest.raises(KitError, match="cannot be written"), alone(folder.parent / "file"):
        pass


def test_a_record_says_all_and_no_secret(client, kaggle, record, folder):
    send(client, record, folder)
    text = next(folder.glob("*.json")).read_text()
    assert json.loads(text)["sha256"].startswith("44f8354494a5ba03")  # sha256sum of a thousand x
    assert "secret" not in text
