"""The records beside what Kaggle says: bringing them up to date, and finding what was sent before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from kit.kaggle.client import Answer, Client
from kit.kaggle.faults import KaggleError
from kit.kaggle.records import ARRIVED, OPEN, Record, read_records, stamp
from kit.progress import notice

NOT_LISTED = "Kaggle does not list it: it has probably not arrived"


def sent_before(client: Client, record: Record, folder: Path) -> Record | Answer | None:
    """An earlier submission of the record's file, or one that may have arrived: from here or from elsewhere.

    Brings the open records up to date on the way. Raises KitError.
    """
    before, listed = read_records(folder), []
    settle(before, folder)
    try:
        listed = client.submissions()
        refresh(client, before, folder, listed)
    except KaggleError as error:
        if error.again or not error.unsure:
            raise
        notice(f"note: what was sent before is known by the records here alone: {error.message}")
    same = [r for r in before if r.sha256 == record.sha256 and r.state in ARRIVED]
    known = {r.ref for r in before}
    elsewhere = [a for a in listed if record.file_mark in a.description and a.ref not in known]
    found: list[Record | Answer] = [*same[::-1], *(a for a in elsewhere if a.status != "error")]
    return found[0] if found else None


def refresh(
    client: Client, records: Iterable[Record], folder: Path, listed: Sequence[Answer] | None = None
) -> None:
    """Bring the open records of the client's competition up to date by what Kaggle says. Raises KaggleError.

    listed: Kaggle's list, where it was asked for already.
    """
    wanted = [r for r in records if r.state in OPEN and r.competition == client.competition]
    answers = (_ask(client, wanted) if listed is None else listed) if wanted else []
    by_ref = {answer.ref: answer for answer in answers}
    for record in wanted:
        marked = [answer for answer in answers if record.mark in answer.description]
        answer = by_ref.get(record.ref) if record.ref else next(iter(marked), None)
        if answer is not None:
            _take(record, answer)
        else:
            record.error = NOT_LISTED
        record.save(folder)


def _ask(client: Client, wanted: list[Record]) -> Sequence[Answer]:
    """What Kaggle says of the records: of a single one by its reference, else all that it lists."""
    if len(wanted) == 1 and wanted[0].ref:
        try:
            return [client.submission(wanted[0].ref)]
        except KaggleError as error:
            if error.status != 404:
                raise
    return client.submissions()


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
