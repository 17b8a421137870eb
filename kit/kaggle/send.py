"""Sending a submission so that it is never lost and never sent twice: every step is on disk before it is taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from kit.kaggle.client import Answer, Client
from kit.kaggle.faults import KaggleError
from kit.kaggle.records import OPEN, Record, stamp
from kit.progress import Line, notice

LATE = 900.0  # seconds after which a submission that Kaggle does not list has not arrived
FIRST_LOOK, LONGEST_LOOK = 5.0, 60.0  # seconds between two looks at the score


def send(client: Client, record: Record, folder: Path) -> None:
    """Upload the record's file and submit it; the record follows every step. Raises KaggleError."""
    record.save(folder)
    try:
        token = _upload(client, record)
    except KaggleError as error:
        _failed(record, folder, error)
        raise
    record.state, record.sent = "sending", stamp()
    record.save(folder)
    try:
        record.ref = client.create(token, record.description) or None
    except KaggleError as error:
        if error.unsure and _arrived(client, record, folder):
            return
        if not error.unsure:
            _failed(record, folder, error)
            raise
        record.error = str(error)
        record.save(folder)
        hint = "it may have arrived: `kit submissions` looks for it; it is not sent again unasked"
        raise KaggleError(error.message, hint, unsure=True) from None
    if record.ref is None:
        _arrived(client, record, folder)
        return
    record.state = "pending"
    record.save(folder)


def _upload(client: Client, record: Record) -> str:
    line = Line(record.bytes, f"upload {Path(record.file).name}")
    line.begin()
    try:
        return client.upload(Path(record.file), lambda sent: line.show(sent, f"{sent / 1e6:,.1f} MB"))
    finally:
        line.close()


def _failed(record: Record, folder: Path, error: KaggleError) -> None:
    record.state, record.error = "failed", str(error)
    record.save(folder)


def _arrived(client: Client, record: Record, folder: Path) -> bool:
    """Whether Kaggle lists a submission whose answer was lost; then the record is brought up to date."""
    try:
        refresh(client, [record], folder)
    except KaggleError:
        return False
    return record.ref is not None


def wait_for_score(
    client: Client, record: Record, folder: Path, longest: float, clock: Callable[[], float] = time.monotonic
) -> None:
    """Look until the submission is scored, or for `longest` seconds; a bad line is no reason to give up."""
    start, pause, line = clock(), FIRST_LOOK, Line(round(longest), "wait for the score")
    line.begin()
    try:
        while record.state in OPEN and clock() - start < longest:
            try:
                refresh(client, [record], folder)
            except KaggleError as error:
                if not (error.again or error.unsure):
                    raise
                notice(f"{error.message}: looking again")
            if record.state in OPEN:
                line.show(round(clock() - start))
                client.sleep(min(pause, max(longest - (clock() - start), 0.0)))
                pause = min(pause * 1.5, LONGEST_LOOK)
    finally:
        line.close()


def refresh(client: Client, records: Iterable[Record], folder: Path) -> None:
    """Bring records up to date by what Kaggle says. Raises KaggleError."""
    wanted = [record for record in records if record.state in OPEN]
    single = len(wanted) == 1 and wanted[0].ref is not None
    answers = [client.submission(wanted[0].ref or 0)] if single else client.submissions() if wanted else []
    by_ref = {answer.ref: answer for answer in answers}
    for record in wanted:
        marked = [answer for answer in answers if record.mark in answer.description]
        answer = by_ref.get(record.ref or 0) or (marked[0] if marked else None)
        if answer is not None:
            _take(record, answer)
            record.save(folder)
        elif record.state == "sending" and _age(record) > LATE:
            record.state, record.error = "failed", "it did not arrive: Kaggle does not list it"
            record.save(folder)


def settle(records: Iterable[Record], folder: Path) -> None:
    """Close the records of uploads that were cut off (no other process is at work): nothing was submitted."""
    for record in records:
        if record.state == "uploading":
            record.state, record.error = "failed", "stopped before it was submitted"
            record.save(folder)


def _take(record: Record, answer: Answer) -> None:
    record.ref, record.state = answer.ref, answer.status
    record.public, record.private = answer.public, answer.private
    record.error = answer.error
    if answer.status != "pending":
        record.scored = stamp()


def _age(record: Record) -> float:
    sent = datetime.fromisoformat(record.sent or record.created)
    return (datetime.now(UTC) - sent).total_seconds()
