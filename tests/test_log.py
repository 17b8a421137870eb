import subprocess
import sys

import pytest

from kit.base.log import configure_logging, logger, warn_once
from kit.base.progress import track


@pytest.mark.parametrize(
    ("verbosity", "lines"), [(-1, "warning\n"), (0, "info\nwarning\n"), (1, "debug\ninfo\nwarning\n")]
)
def test_lines_go_to_stderr_by_their_weight(capsys, verbosity, lines):
    configure_logging(verbosity)
    logger.debug("debug")
    logger.info("info")
    logger.warning("warning")
    assert capsys.readouterr() == ("", lines)


def test_a_line_is_one_line_and_shows_no_secret(capsys):
    logger.warning("a\nb\x07 of http://me:hidden@host/100%")
    assert capsys.readouterr().err == "a b\\x07 of http://***@host/100%\n"


def test_the_same_warning_comes_once(capsys):
    for _ in range(2):
        warn_once("2 rows are left out")
    warn_once("3 rows are left out")
    assert capsys.readouterr().err == "2 rows are left out\n3 rows are left out\n"


def test_a_line_comes_above_a_live_one(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    for _ in track([1], 1, "work"):
        logger.warning("a line")
    assert "a line\n" in capsys.readouterr().err


def test_a_library_is_quiet_but_for_warnings():
    code = (
        "from kit.base import progress; from kit.base.log import logger; progress.EVERY = 0.0\n"
        "logger.info('info'); list(progress.track([1, 2], 2, 'work')); logger.warning('warning')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "warning\n")
