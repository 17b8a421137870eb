"""Sending a submission so that it is never lost and never sent twice: every step is on disk before it is taken."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from kit.base.errors import KitError
from kit.base.hashes import sha256_of
from kit.base.locks import LockedError
from kit.base.log import logger
from kit.base.progress import ProgressLine
from kit.kaggle.client import Client
from kit.kaggle.client_errors import KaggleError
from kit.kaggle.reconcile import fetch_status, reconcile, refresh
from kit.kaggle.records import OPEN, Record, utc_now_iso

FIRST_POLL, MAX_POLL = 5.0, 60.0  # seconds between two looks at the score


def send(client: Client, record: Record, folder: Path) -> None:
    """Upload the record's file and submit it; the record follows every step. Raises KitError."""
    _check_unchanged(record)
    record.save(folder)
    try:
        token = _upload(client, record)
        _check_unchanged(record)
    except KitError as error:
        _failed(record, folder, error)
        raise
    record.state, record.sent = "sending", utc_now_iso()
    record.save(folder)
    try:
        record.ref = client.create(token, record.description) or None
    except KaggleError as error:
        if not error.outcome_unknown:
            _failed(record, folder, error)
            raise
        if _arrived(client, record, folder):
            return
        record.error = str(error)
        record.save(folder)
        hint = "it may have arrived: `kit submissions` looks for it; it is not sent again unasked"
        raise KaggleError(error.message, hint, outcome_unknown=True) from None
    if record.ref is None:
        _arrived(client, record, folder)
        return
    record.state = "pending"
    record.save(folder)


def _check_unchanged(record: Record) -> None:
    if sha256_of(Path(record.file)) != record.sha256:
        raise KitError(f"{record.file} has changed since it was checked", "nothing was sent: start again")


def _upload(client: Client, record: Record) -> str:
    line = ProgressLine(record.bytes, f"upload {Path(record.file).name}")
    line.begin()
    try:
        return client.upload(Path(record.file), lambda sent: line.show(sent, f"{sent / 1e6:,.1f} MB"))
    finally:
        line.close()


def _failed(record: Record, folder: Path, error: KitError) -> None:
    record.state, record.error = "failed", str(error)
    record.save(folder)


def _arrived(client: Client, record: Record, folder: Path) -> bool:
    """Whether Kaggle lists a submission whose answer was lost; then the record is brought up to date."""
    try:
        reconcile(client, [record], fetch_status(client, [record]), folder)
    except KaggleError:
        return False
    return record.ref is not None


def wait_for_score(
    client: Client, record: Record, folder: Path, timeout: float, clock: Callable[[], float] = time.monotonic
) -> None:
    """Look until the submission is scored, or for `timeout` seconds; a bad line is no reason to give up.

    Another kit may look at the same time: what it has found counts.
    """
    start, pause, line = clock(), FIRST_POLL, ProgressLine(round(timeout), "wait for the score")
    line.begin()
    try:
        while record.state in OPEN and clock() - start < timeout:
            try:
                refresh(client, [record], folder)
            except KaggleError as error:
                if not (error.retryable or error.outcome_unknown):
                    raise
                logger.warning(f"{error.message}: looking again")
            except LockedError as error:
                logger.warning(f"{error.message}: looking again")
            if record.state in OPEN:
                line.show(round(clock() - start))
                client.sleep(min(pause, max(timeout - (clock() - start), 0.0)))
                pause = min(pause * 1.5, MAX_POLL)
    finally:
        line.close()
