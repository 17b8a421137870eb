from contextlib import suppress

from kit.base import progress
from kit.base.progress import notice, notice_once, silent, track


def test_steps_pass_through_and_lines_go_to_stderr(capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    assert list(track(iter("abc"), 3, "work")) == ["a", "b", "c"]
    out, err = capsys.readouterr()
    assert out == ""
    assert "work: 1 of 3, about" in err


def test_quick_work_says_nothing(capsys):
    assert list(track([1, 2], 2, "work")) == [1, 2]
    assert list(silent([1, 2], 2, "work")) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_the_steps_pass_too(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert list(track([1, 2], 2, "work")) == [1, 2]
    assert capsys.readouterr().out == ""


def test_notice(capsys):
    notice("a line")
    assert capsys.readouterr().err == "a line\n"


def test_the_same_notice_comes_once(capsys):
    for _ in range(2):
        notice_once("2 rows are left out")
    notice_once("3 rows\x07 are left out")
    assert capsys.readouterr().err == "2 rows are left out\n3 rows\\x07 are left out\n"


def test_a_stderr_that_takes_nothing_ends_no_work(monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    full = open("/dev/full", "w")  # noqa: SIM115
    monkeypatch.setattr("sys.stderr", full)
    assert list(track([1, 2], 2, "work")) == [1, 2]
    notice("a line")
    monkeypatch.undo()
    with suppress(OSError):
        full.close()
