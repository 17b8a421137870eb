from contextlib import suppress

from kit.base import progress
from kit.base.log import configure_logging, logger
from kit.base.progress import silent, track


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


def test_a_stderr_that_takes_nothing_ends_no_work(monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    full = open("/dev/full", "w")  # noqa: SIM115
    monkeypatch.setattr("sys.stderr", full)
    assert list(track([1, 2], 2, "work")) == [1, 2]
    logger.info("a line")
    monkeypatch.undo()
    with suppress(OSError):
        full.close()


def test_what_is_information_alone_is_quiet_where_warnings_are_wanted(capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    configure_logging(-1)
    assert list(track([1, 2], 2, "work")) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_several_loops_share_a_line(capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with progress.one_line(3, "a and b", "images", 8) as pass_on:
        assert list(pass_on([1, 2], 2, "first")) == [1, 2]
        assert list(pass_on([], 0, "second")) == []
        assert list(pass_on([3, 4], 1, "third")) == [3, 4]  # one more than was known before
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == [f"a and b: {n} of 3" for n in (1, 2, 3, 3)]
