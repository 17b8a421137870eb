from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.base.retry import LONGEST_WAIT, Patience, clock_skew, retry_after


@given(st.integers(0, 10_000), st.floats(0, 100), st.none() | st.floats(0, 1e9))
def test_a_pause_has_an_end(attempt, wait, asked):
    seconds = Patience(wait=wait).pause(attempt, asked)
    assert 0 <= seconds <= 1.5 * LONGEST_WAIT
    if asked is not None:
        assert min(asked, LONGEST_WAIT) <= seconds <= min(asked, LONGEST_WAIT) + 1


def test_pauses_double_and_differ():
    pauses = [[Patience(wait=1).pause(i) for _ in range(50)] for i in range(5)]
    for i, some in enumerate(pauses):
        assert 2**i * 0.5 <= min(some) < max(some) <= 2**i * 1.5


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("0.5", 0.5), ("", None), ("soon", None), ("²", None), ("-3", None), ("1.2.3", None)],
)
def test_what_a_server_asks_for(header, seconds):
    assert retry_after(header) == seconds


def test_dates():
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 58 <= retry_after(later) <= 60
    assert -61 <= clock_skew(later) <= -58
    earlier = format_datetime(datetime.now(UTC) - timedelta(seconds=60), usegmt=True)
    assert retry_after(earlier) == 0
    assert clock_skew("") is None
    assert clock_skew("today") is None


@pytest.mark.parametrize(
    "header",
    [
        "Mon, 99999999999999999999 Jan 2020 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 01 Jan 2020 00:00:00 +999999999999",
        ", , ,",
        "x" * 100_000,
    ],
)
def test_dates_that_are_none_say_nothing(header):
    assert retry_after(header) is None
    assert clock_skew(header) is None


@given(st.text())
def test_any_text_is_a_date_or_none(header):
    for seconds in (retry_after(header), clock_skew(header)):
        assert seconds is None or isinstance(seconds, float)
