import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.base.retry import MAX_DELAY, RemoteError, RetryPolicy, clock_skew, retry, retry_after, retry_async

HASTY = RetryPolicy(attempts=3, backoff=0.001)
BUSY = RemoteError("busy", retryable=True)


def run_sync(call, on_retry, progressed):
    return retry(call, HASTY, on_retry, lambda seconds: None)


def run_async(call, on_retry, progressed):
    async def attempt():
        return call()

    return asyncio.run(retry_async(attempt, HASTY, on_retry, progressed))


def run(errors, how=run_async, progressed=lambda error: False):
    """Attempts that fail so, one after the other, then succeed: what came, how many were made, the waits told."""
    left, made, told = list(errors), [], []

    def attempt():
        made.append(1)
        if left:
            raise left.pop(0)
        return "here"

    try:
        return how(attempt, lambda *words: told.append(words), progressed), len(made), told
    except RemoteError as error:
        return error, len(made), told


@pytest.mark.parametrize("how", [run_sync, run_async])
def test_so_many_attempts_and_no_more(how):
    assert run([], how) == ("here", 1, [])
    result, made, told = run([BUSY, RemoteError("cut", retryable=True)], how)
    assert (result, made, [str(error) for error, _ in told]) == ("here", 3, ["busy", "cut"])
    assert run([BUSY] * 3, how)[:2] == (BUSY, 3)
    wrong = RemoteError("wrong")
    assert run([wrong], how) == (wrong, 1, [])


def test_an_attempt_that_got_further_does_not_count():
    assert run([BUSY] * 50, progressed=lambda _: True)[:2] == ("here", 51)
    slow = RemoteError("slow", retryable=True)
    assert run([slow] * 50, progressed=lambda error: error is not slow)[:2] == (slow, 3)


@given(st.integers(0, 10_000), st.floats(0, 100), st.none() | st.floats(0, 1e9))
def test_a_pause_has_an_end(attempt, wait, asked):
    seconds = RetryPolicy(backoff=wait).delay(attempt, asked)
    assert 0 <= seconds <= 1.5 * MAX_DELAY
    if asked is not None:
        assert min(asked, MAX_DELAY) <= seconds <= min(asked, MAX_DELAY) + 1


def test_pauses_double_and_differ():
    pauses = [[RetryPolicy(backoff=1).delay(i) for _ in range(50)] for i in range(5)]
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
