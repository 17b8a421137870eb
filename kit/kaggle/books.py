"""The records beside what Kaggle says: bringing them up to date, and finding what was sent before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from kit.base.progress import notice
from kit.kaggle.client import Answer, Client
from kit.kaggle.faults import KaggleError
from kit.kaggle.records import ARRIVED, OPEN, Record, stamp

NOT_LISTED = "Kaggle does not list it: it has probably not arrived"


def listing(client: Client) -> list[Answer] | None:
    """What Kaggle lists; None where that is not understood. Raises KaggleError where Kaggle cannot be asked."""
    try:
        return client.submissions()
    except KaggleError as error:
        if error.again or not error.unsure:
            raise
        notice(f"note: what was sent before is known by the records here alone: {error.message}")
        return None


def sent_before(
    record: Record, before: Sequence[Record], listed: Sequence[Answer] | None
) -> Record | Answer | None:
    """An earlier submission of the record's file, or one that may have arrived: from here or from elsewhere."""
    own = [r for r in before if r.competition == record.competition]
    same: list[Record | Answer] = [r for r in own if r.sha256 == record.sha256 and r.state in ARRIVED]
    known = {r.ref for r in own}
    marked = [a for a in listed or () if record.file_mark in a.description and a.ref not in known]
    same[:0] = [a for a in marked if a.status != "error"]
    return same[-1] if same else None


def news(client: Client, records: Iterable[Record]) -> Sequence[Answer]:
    """What Kaggle says of the open records: of a single one by its reference, else all that it lists.

    Raises KaggleError. It may take long on a bad line: not to be asked while the records are held.
    """
    wanted = _open(client, records)
    if len(wanted) == 1 and wanted[0].ref:
        try:
            return [client.submission(wanted[0].ref)]
        except KaggleError as error:
            if error.status != 404:
                raise
    return client.submissions() if wanted else []


def update(client: Client, records: Iterable[Record], answers: Sequence[Answer], folder: Path) -> None:
    """Bring the open records of the client's competition up to date by what Kaggle said."""
    by_ref = {answer.ref: answer for answer in answers}
    for record in _open(client, records):
        marked = [answer for answer in answers if record.mark in answer.description]
        answer = by_ref.get(record.ref) if record.ref else next(iter(marked), None)
        if answer is not None:
            _take(record, answer)
        else:
            record.error = NOT_LISTED
        record.save(folder)


def _open(client: Client, records: Iterable[Record]) -> list[Record]:
    return [r for r in records if r.state in OPEN and r.competition == client.competition]


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
