"""Reconcile the records with what Kaggle says: bring them up to date, and find what was sent before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from kit.base.log import logger
from kit.kaggle.client import Answer, Client
from kit.kaggle.client_errors import KaggleError
from kit.kaggle.records import ARRIVED, OPEN, Record, lock_records, read_records, utc_now_iso

NOT_LISTED = "Kaggle does not list it: it has probably not arrived"


def list_submissions(client: Client) -> list[Answer] | None:
    """What Kaggle lists; None where that is not understood. Raises KaggleError where Kaggle cannot be asked."""
    try:
        return client.submissions()
    except KaggleError as error:
        if error.retryable or not error.outcome_unknown:
            raise
        logger.warning(f"note: what was sent before is known by the records here alone: {error.message}")
        return None


def find_earlier(
    record: Record, before: Sequence[Record], listed: Sequence[Answer] | None
) -> Record | Answer | None:
    """An earlier submission of the record's file, or one that may have arrived: from here or from elsewhere."""
    earlier = [r for r in before if r.competition == record.competition]
    same: list[Record | Answer] = [r for r in earlier if r.sha256 == record.sha256 and r.state in ARRIVED]
    known = {r.ref for r in earlier}
    marked = [a for a in listed or () if record.file_mark in a.description and a.ref not in known]
    same[:0] = [a for a in marked if a.status != "error"]
    return same[-1] if same else None


def fetch_status(client: Client, records: Iterable[Record]) -> Sequence[Answer]:
    """What Kaggle says of the open records: of a single one by its reference, else all that it lists.

    Raises KaggleError. It may take long on a bad line: not to be asked while the records are held.
    """
    open_records = _open(client, records)
    if len(open_records) == 1 and open_records[0].ref:
        try:
            return [client.submission(open_records[0].ref)]
        except KaggleError as error:
            if error.status != 404:
                raise
    return client.submissions() if open_records else []


def reconcile(client: Client, records: Iterable[Record], answers: Sequence[Answer], folder: Path) -> None:
    """Bring the open records of the client's competition up to date by what Kaggle said, and write them."""
    by_ref = {answer.ref: answer for answer in answers}
    for record in _open(client, records):
        marked = [answer for answer in answers if record.mark in answer.description]
        answer = by_ref.get(record.ref) if record.ref else next(iter(marked), None)
        if answer is not None:
            _apply(record, answer)
        else:
            record.error = NOT_LISTED
        record.save(folder)


def refresh(client: Client, records: list[Record], folder: Path) -> None:
    """Bring records up to date: Kaggle is asked first, then they are taken as they are on disk by now, and written.

    Raises KaggleError, and LockedError while another kit holds the records.
    """
    answers = fetch_status(client, records)
    with lock_records(folder):
        stored = {record.id: record for record in read_records(folder)}
        for record in records:
            vars(record).update(vars(stored.get(record.id, record)))
        reconcile(client, records, answers, folder)


def _open(client: Client, records: Iterable[Record]) -> list[Record]:
    return [r for r in records if r.state in OPEN and r.competition == client.competition]


def close_interrupted(records: Iterable[Record], folder: Path) -> None:
    """Close the records of uploads that were cut off (no other process is at work): nothing was submitted."""
    for record in records:
        if record.state == "uploading":
            record.state, record.error = "failed", "stopped before it was submitted"
            record.save(folder)


def _apply(record: Record, answer: Answer) -> None:
    record.ref, record.state = answer.ref, answer.status
    record.public, record.private = answer.public, answer.private
    record.error = answer.error
    if answer.status != "pending":
        record.scored = utc_now_iso()
