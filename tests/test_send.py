"""Nothing is lost and nothing is sent twice, wherever it stops."""

import json
import shutil
from dataclasses import asdict, replace

import pytest

from kit.base.errors import KitError
from kit.base.locks import LockedError
from kit.kaggle.client_errors import KaggleError
from kit.kaggle.reconcile import NOT_LISTED, close_interrupted, find_earlier, list_submissions, refresh
from kit.kaggle.records import lock_records, new_record, read_records
from kit.kaggle.send import send, wait_for_score
from tests.fakekaggle import SLUG


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "submissions"


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
    assert kaggle.submissions[1]["description"] == f"{record.mark} first try"
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


def test_what_kaggle_does_not_list_stays_open_and_says_so(client, kaggle, record, folder):
    kaggle.tricks["CreateSubmission"] = ["status 502"]
    with pytest.raises(KaggleError, match="may have arrived"):
        send(client, record, folder)
    kaggle.submissions.append({"ref": 7, "description": "somebody else's", "data": b"", "looks": 0})
    kaggle.submissions.append({"ref": 0, "description": "odd", "data": b"", "looks": 9})
    refresh(client, [record], folder)
    (kept,) = read_records(folder)
    assert (kept.state, kept.ref, kept.error) == ("sending", None, NOT_LISTED)
    kaggle.submissions.append({"ref": 8, "description": f"{record.mark} first try", "data": b"", "looks": 0})
    refresh(client, [record], folder)
    assert (record.state, record.ref, record.error) == ("pending", 8, "")


def test_a_reference_that_kaggle_does_not_know_stops_nothing(client, kaggle, record, folder):
    send(client, record, folder)
    kaggle.submissions.clear()
    refresh(client, [record], folder)
    assert (record.state, record.error) == ("pending", NOT_LISTED)


def test_other_competitions_are_left_alone(client, kaggle, record, folder):
    other = replace(record, competition="another", state="sending", ref=None)
    other.save(folder)
    refresh(client, [other], folder)
    assert (other.state, other.error) == ("sending", "")
    assert kaggle.seen["ListSubmissions"] == 0


def test_the_same_file_sent_from_elsewhere_is_found(client, kaggle, record, folder, tmp_path):
    assert find_earlier(record, [], list_submissions(client)) is None
    send(client, record, folder)
    again = new_record(SLUG, tmp_path / "s.csv", "second try")
    assert find_earlier(again, [], list_submissions(client)).ref == 1000
    assert find_earlier(again, read_records(folder), list_submissions(client)).message == "first try"
    assert find_earlier(again, [replace(record, competition="another")], []) is None
    (tmp_path / "s.csv").write_bytes(b"y")
    assert find_earlier(new_record(SLUG, tmp_path / "s.csv", ""), [record], list_submissions(client)) is None
    kaggle.looks, kaggle.refused = 0, "no"
    assert find_earlier(again, [], list_submissions(client)) is None  # one that was refused does not count


def test_a_list_that_is_not_understood_is_told_and_a_refused_one_stops(client, kaggle, capsys):
    kaggle.tricks["ListSubmissions"] = ['answer {"submissions": [{"status": "NEW"}]}', "status 401"]
    assert list_submissions(client) is None
    assert "known by the records here alone" in capsys.readouterr().err
    with pytest.raises(KaggleError, match="does not accept"):
        list_submissions(client)


def test_kaggle_is_not_asked_while_the_records_are_held(client, kaggle, record, folder):
    send(client, record, folder)
    held = []

    def sleep(_):
        with lock_records(folder, 0):
            held.append(False)

    client.sleep = sleep
    kaggle.tricks["GetSubmission"] = ["retry 100", "status 500"]
    refresh(client, [record], folder)
    assert held == [False, False]
    with lock_records(folder), pytest.raises(LockedError):
        refresh(client, [record], folder)


@pytest.mark.parametrize("moment", ["", "PUT"])
def test_a_file_that_changes_is_not_sent(client, kaggle, record, folder, tmp_path, moment):
    def change(name):
        if name == moment:
            (tmp_path / "s.csv").write_bytes(b"z" * 1000)

    change("")
    kaggle.before_answer = change
    with pytest.raises(KitError, match="has changed since it was checked; nothing was sent"):
        send(client, record, folder)
    assert kaggle.submissions == []


def test_a_disk_that_fails_after_sending_says_what_was_sent(client, kaggle, record, folder):
    def block(name):
        if name == "CreateSubmission":
            shutil.rmtree(folder)
            folder.write_text("no folder")

    kaggle.before_answer = block
    with pytest.raises(KitError, match="it was sent as 1000: look at Kaggle before sending it again"):
        send(client, record, folder)
    with pytest.raises(KitError, match=r"cannot be written .*; nothing was sent"):
        replace(record, state="uploading").save(folder)


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
    assert kaggle.seen["ListSubmissions"] == 0


def test_an_upload_that_was_stopped_is_closed(record, folder):
    record.save(folder)
    close_interrupted(read_records(folder), folder)
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


def test_what_another_kit_has_found_meanwhile_counts(client, kaggle, record, folder):
    send(client, record, folder)
    replace(record, state="complete", private=0.5).save(folder)
    wait_for_score(client, record, folder, 60)
    assert (record.state, record.private) == ("complete", 0.5)


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


def test_records_that_cannot_be_read_stop_everything(record, folder):
    folder.mkdir()
    assert read_records(folder) == []
    good = asdict(record)
    wrong = [{**good, "state": "strange"}, {**good, "sha256": None}, {**good, "private": "0.3"}]
    path = folder / f"{record.id}.json"
    for text in ("", "{", "[]", "[" * 100_000, '{"id": "a"}', "\0", "\ud800", *map(json.dumps, wrong)):
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(KitError, match=r"\.json: no record of a submission .*; mend it") as caught:
            read_records(folder)
        assert "\n" not in str(caught.value)
    path.write_text(json.dumps(good))
    assert read_records(folder) == [record]
    (folder / "copy.json").write_text(json.dumps(good))
    with pytest.raises(
        KitError, match=r"copy\.json: the record of another name \(.*\), a copy\?; move it away"
    ):
        read_records(folder)
    (folder / "copy.json").write_text(json.dumps({**good, "id": "../../elsewhere"}))
    with pytest.raises(KitError, match=r"copy\.json: the record of another name"):
        read_records(folder)
    (folder / "copy.json").unlink()
    (folder / "folder.json").mkdir()
    with pytest.raises(KitError, match=r"folder\.json: cannot be read \(Is a directory\)"):
        read_records(folder)


def test_one_at_a_time(folder):
    with (
        lock_records(folder),
        pytest.raises(LockedError, match="another kit is at work"),
        lock_records(folder, 0.2),
    ):
        pass
    with lock_records(folder):
        pass
    (folder.parent / "file").write_text("")
    with pytest.raises(KitError, match="cannot be written"), lock_records(folder.parent / "file"):
        pass


def test_a_record_says_all_and_no_secret(client, kaggle, record, folder):
    send(client, record, folder)
    text = next(folder.glob("*.json")).read_text()
    assert json.loads(text)["sha256"].startswith("44f8354494a5ba03")  # sha256sum of a thousand x
    assert "secret" not in text
