"""`kit submit` and `kit submissions`, as typed, against a Kaggle on this machine."""

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest

from kit.kaggle.records import lock_records, new_record, read_records
from tests.builders import GOOD, IS_GOOD, submission
from tests.fakekaggle import KEY, SLUG

PATIENCE = "data.download={connect_timeout: 1, read_timeout: 2, attempts: 2, backoff: 0.01}"


@pytest.fixture
def words(kaggle, tmp_path, monkeypatch):
    """Options of the command: a sample submission of three images, records in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kit.kaggle.send.FIRST_POLL", 0.01)
    ids = submission(tmp_path / "ids.csv", "x,", "y,", "z,")
    sets = ("data.source=openimages", f"data.test.ids={ids}", PATIENCE)
    return [word for value in sets for word in ("--set", value)]


@pytest.fixture
def file(tmp_path):
    return submission(tmp_path / "s.csv", f"x,{GOOD} {IS_GOOD}", "y,", "z,")


def test_sent_scored_and_kept(kit, kaggle, words, file, capsys):
    code, out, err = kit("submit", file, "-m", "my try", "--yes", *words)
    assert code == 0, err
    assert [line.split() for line in out.splitlines() if "private" in line] == [["private", "0.3900", "2nd"]]
    for text in (SLUG, f"{file.stat().st_size:,} bytes", "my try", "left today   5", "sent as 1000"):
        assert text in err
    (record,) = read_records(file.parent / "submissions")
    assert (record.state, record.message, record.private) == ("complete", "my try", 0.39)
    code, out, _ = kit("submissions")
    assert "complete" in out
    assert "2nd" in out
    code, out, _ = kit("submissions", "--json")
    assert json.loads(out)[0]["private"] == 0.39
    assert KEY not in out


def test_nothing_is_sent_unasked(kit, kaggle, words, file, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    code, _, err = kit("submit", file, *words)
    assert code == 2
    assert "nothing was sent: nobody answered; give --yes" in err
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, _, err = kit("submit", file, *words)
    assert code == 2
    assert err.endswith("nothing was sent\n")
    assert kaggle.seen["StartSubmissionUpload"] == 0
    assert not list((file.parent / "submissions").glob("*.json"))
    code, out, _ = kit("submit", file, "--dry-run", *words)
    assert code == 0
    assert "would send" in out
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert kit("submit", file, *words)[0] == 0


def test_the_same_file_is_sent_again_only_when_told(kit, kaggle, words, file, monkeypatch):
    assert kit("submit", file, "--yes", *words)[0] == 0
    code, _, err = kit("submit", file, "--yes", *words)
    assert code == 2
    assert "this very file was sent" in err
    assert "as 1000 (public 0.41000, private 0.39000); give --again" in err
    assert kit("submit", file, "--yes", "--again", *words)[0] == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, _, err = kit("submit", file, *words)
    assert code == 2
    assert "Send it once more?" in err
    assert len(kaggle.submissions) == 2


def test_one_that_may_have_arrived_is_not_sent_again_unasked(kit, kaggle, words, file):
    kaggle.tricks = {"CreateSubmission": ["reset"], "ListSubmissions": ["", "status 500", "status 500"]}
    code, _, err = kit("submit", file, "--yes", *words)
    assert code == 2
    assert "it may have arrived" in err
    code, _, err = kit("submit", file, "--yes", *words)
    assert code == 2
    assert "whether it arrived is not known; give --again" in err
    assert kaggle.submissions == []
    code, _, err = kit("submissions")
    assert code == 0
    assert "1 without a score yet" in err


@pytest.mark.parametrize("moment", ["PUT", "CreateSubmission"])
def test_killed_between_upload_and_record(kit, kaggle, words, file, moment):
    """SIGKILL when the bytes have arrived, or when Kaggle has taken the submission but not yet answered."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kit", "submit", str(file), "--yes", *words],
        cwd=file.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def kill(name):
        if name == moment and process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()

    kaggle.before_answer = kill
    assert process.wait(60) == -signal.SIGKILL
    (record,) = read_records(file.parent / "submissions")
    assert record.state == {"PUT": "uploading", "CreateSubmission": "sending"}[moment]
    kaggle.looks = 0
    assert kit("submissions")[0] == 0
    (record,) = read_records(file.parent / "submissions")
    if moment == "PUT":
        assert (record.state, len(kaggle.submissions)) == ("failed", 0)
        assert kit("submit", file, "--yes", *words)[0] == 0
    else:
        assert (record.state, record.ref, record.private) == ("complete", 1000, 0.39)
        assert kit("submit", file, "--yes", *words)[0] == 2
    assert len(kaggle.submissions) == 1


def test_interrupted_while_waiting(kit, kaggle, words, file, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("kit.kaggle.client.Client.submission", stop)
    code, _, err = kit("submit", file, "--yes", *words)
    assert code == 130
    assert "stopping does no harm" in err
    assert read_records(file.parent / "submissions")[0].state == "pending"


def test_no_wait(kit, kaggle, words, file):
    code, out, err = kit("submit", file, "--yes", "--no-wait", "--json", *words)
    assert code == 0
    assert json.loads(out)["state"] == "pending"
    assert "no score yet: `kit submissions` shows it later" in err
    kit("submissions", "--offline")
    assert kaggle.seen["GetSubmission"] == 0
    kit("submissions")
    code, out, _ = kit("submissions", "--plot", "board.png")
    assert "complete" in out
    assert (file.parent / "board.png").exists()
    assert kit("submissions", "--plot", "board.txt")[0] == 2


def test_kaggle_out_of_reach_leaves_the_table_as_it_is(kit, kaggle, words, file):
    kit("submit", file, "--yes", "--no-wait", *words)
    kaggle.tricks["GetSubmission"] = ["status 401"]
    code, out, err = kit("submissions")
    assert code == 1
    assert "pending" in out
    assert "not brought up to date: Kaggle does not accept" in err


def test_what_is_refused(kit, kaggle, words, file, tmp_path, monkeypatch):
    kaggle.refused = "Evaluation Exception: an id is missing"
    code, _, err = kit("submit", file, "--yes", *words)
    assert code == 2
    assert f"Kaggle refused {file}: Evaluation Exception" in err
    bad = submission(tmp_path / "bad.csv", f"x,{GOOD}", "y,")
    code, out, err = kit("submit", bad, "--yes", *words)
    assert code == 2
    assert "image missing" in out
    assert err.endswith("1 kind of faults; mend them before sending\n")
    code, _, err = kit("submit", bad, "--yes", "--send-anyway", *words)
    assert code == 2
    assert "1 kind of faults; --send-anyway does not let pass: image missing; mend them" in err
    code, _, err = kit("submit", file, "--check", file, *words)
    assert "not both" in err
    kaggle.left = 0
    code, _, err = kit("submit", file, "--yes", *words)
    assert "no submission is left today; Kaggle counts anew at 00:00 UTC" in err
    assert len(kaggle.submissions) == 1
    code, _, err = kit("submit", file, "--yes", *words, "--set", "data.source=mini")
    assert "Kaggle does not score the mini challenge" in err
    code, _, err = kit("submit", tmp_path / "none.csv", "--yes", *words)
    assert code == 2
    assert "none.csv: no such file" in err


def test_no_credentials_and_exposed_ones(kit, kaggle, words, file, tmp_path, monkeypatch):
    key = tmp_path / "home/.kaggle/kaggle.json"
    key.parent.mkdir()
    key.write_text("{}")
    key.chmod(0o644)
    code, _, err = kit("submit", file, "--yes", *words)
    assert code == 0
    assert f"warning: others can read {key}; chmod 600 it" in err
    monkeypatch.delenv("KAGGLE_KEY")
    code, _, err = kit("submit", file, "--yes", "--again", *words)
    assert code == 2
    assert "no usable Kaggle credentials in" in err
    assert err.count("\n") == 2
    assert not [r for r in read_records(tmp_path / "submissions") if r.state == "uploading"]


def test_another_kit_at_work_keeps_both_commands_waiting(kit, kaggle, words, file, monkeypatch):
    monkeypatch.setattr("kit.kaggle.records.lock_records", partial(lock_records, wait=0.1))
    with lock_records(file.parent / "submissions"):
        code, _, err = kit("submit", file, "--yes", *words)
    assert code == 2
    assert "another kit is at work on the submissions; wait for it" in err
    assert kaggle.seen["StartSubmissionUpload"] == 0
    replace(new_record(SLUG, file, ""), state="pending", ref=1).save(file.parent / "submissions")
    with lock_records(file.parent / "submissions"):
        code, _, err = kit("submissions")
    assert code == 1
    assert "not brought up to date: submissions: another kit is at work" in err


def test_a_score_that_cannot_be_had_does_not_undo_the_sending(kit, kaggle, words, file, monkeypatch):
    kaggle.tricks["GetSubmission"] = ["status 401"]
    code, out, err = kit("submit", file, "--yes", "--json", *words)
    assert code == 0
    assert json.loads(out)["state"] == "pending"
    assert "no news of the score: Kaggle does not accept" in err


def test_another_kit_that_sends_the_same_file_meanwhile(kit, kaggle, words, file, monkeypatch):
    class Slow:
        def readline(self):
            folder = file.parent / "submissions"
            replace(new_record(SLUG, file, ""), state="pending", ref=1, sent="now").save(folder)
            return "y\n"

    monkeypatch.setattr("sys.stdin", Slow())
    code, _, err = kit("submit", file, *words)
    assert code == 2
    assert "this very file was sent by another kit meanwhile" in err
    assert kaggle.submissions == []


def test_a_list_that_is_not_understood_changes_no_record(kit, kaggle, words, file, tmp_path):
    folder = tmp_path / "submissions"
    other = replace(
        new_record(SLUG, tmp_path / "ids.csv", ""), state="sending", error="the connection was cut"
    )
    other.save(folder)
    kaggle.tricks["ListSubmissions"] = ['answer {"submissions": [{"status": "NEW"}]}']
    code, _, err = kit("submit", file, "--yes", "--no-wait", *words)
    assert code == 0
    assert "known by the records here alone" in err
    assert next(r for r in read_records(folder) if r.id == other.id) == other


def test_an_upload_that_was_cut_off_is_closed_by_the_next_one(kit, kaggle, words, file):
    folder = file.parent / "submissions"
    new_record(SLUG, file, "").save(folder)
    assert kit("submit", file, "--yes", *words)[0] == 0
    assert sorted(r.state for r in read_records(folder)) == ["complete", "failed"]


def test_the_same_file_from_another_folder_is_not_sent_unasked(kit, kaggle, words, file, monkeypatch):
    assert kit("submit", file, "--yes", *words)[0] == 0
    (file.parent / "b").mkdir()
    monkeypatch.chdir(file.parent / "b")
    code, _, err = kit("submit", file, "--yes", *words)
    assert code == 2
    assert "was sent from elsewhere as 1000 (public 0.41000, private 0.39000); give --again" in err
    assert len(kaggle.submissions) == 1


def test_stopped_at_the_question(kit, kaggle, words, file, monkeypatch):
    class Stops:
        def readline(self):
            raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", Stops())
    assert kit("submit", file, *words)[0] == 130
    assert kaggle.seen["StartSubmissionUpload"] == 0


def test_the_client_is_missed_before_anything_else(kit, kaggle, words, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    code, _, err = kit("submit", *words)
    assert code == 2
    assert err == "kit: kaggle is not installed; install kit with it: pip install 'kit[kaggle]'\n"


def test_nothing_was_sent_yet(kit, kaggle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert kit("submissions") == (0, "nothing was sent yet\n", "")
    assert kit("submissions", "--json")[1] == "[]\n"


def test_faults_that_the_metric_takes_are_sent_when_told(kit, kaggle, words, file):
    submission(file, "x," + GOOD.replace("0.5 /m", "1.5 /m").replace("plays", "under"), "y,", "z,")
    code, out, err = kit("submit", "--check", file, *words)
    assert code == 2
    assert out.count("takes it") == 2
    assert "2 kinds of faults; mend them, or send it with --send-anyway: the metric takes them" in err
    code, out, _ = kit("submit", "--check", file, "--json", *words)
    assert [fault["taken"] for fault in json.loads(out)["faults"]] == [True, True]
    assert kit("submit", file, "--yes", *words)[0] == 2
    assert kaggle.submissions == []
    code, _, err = kit("submit", file, "--yes", "--send-anyway", *words)
    assert code == 0, err
    assert "2 kinds of faults, which the metric takes" in err
    assert len(kaggle.submissions) == 1


def test_checking_outside_a_run_asks_for_the_ids(kit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = submission(tmp_path / "s.csv", f"x,{GOOD}")
    code, _, err = kit("submit", "--check", good)
    assert (code, err.count("\n")) == (2, 1)
    assert "no such file; give the sample submission with --ids FILE" in err
    ids = submission(tmp_path / "my: ids #1.csv", "x,")
    assert kit("submit", "--check", good, "--ids", ids)[0] == 0
