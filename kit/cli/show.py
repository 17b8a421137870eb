"""What commands print of files, submissions and downloads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kit.base.errors import printable
from kit.base.text_table import table
from kit.kaggle.client import Answer
from kit.kaggle.records import Record
from kit.report.leaderboard import expected_place
from kit.tables.submission_check import SubmissionReport


def report(result: SubmissionReport) -> str:
    """What the submission checker found."""
    text = (
        f"{printable(str(result.path))}: {result.predictions:,} predictions for {result.filled:,} of "
        f"{result.images:,} images, {result.bytes:,} bytes: {'no fault' if result.ok else 'faults'}\n"
    )
    rows = [
        (fault.kind, fault.count, "takes it" if fault.taken else "", fault.first) for fault in result.faults
    ]
    return text + (table("Faults", ("kind", "count", "the metric", "first"), rows) if rows else "")


def to_send(record: Record, left: int | None) -> str:
    """What `kit submit` is about to send."""
    local = "not known (`kit evaluate --split val` tells it)"
    if record.local is not None:
        local = f"{record.local:.4f}, {expected_place(record.local)} on the 2019 board if it holds there"
    rows = {
        "competition": record.competition,
        "file": f"{record.file} ({record.bytes:,} bytes)",
        "message": record.message,
        "local score": local,
        "left today": "Kaggle does not tell" if left is None else str(left),
    }
    return "".join(f"{name:<13}{printable(value)}".rstrip() + "\n" for name, value in rows.items())


def fate(earlier: Record | Answer) -> str:
    """What became of a submission, in a few words; an answer is of one that was sent from elsewhere."""
    if isinstance(earlier, Record) and earlier.state == "sending":
        return f"was sent {earlier.sent}, and whether it arrived is not known"
    when = earlier.sent if isinstance(earlier, Record) else "from elsewhere"
    state = earlier.state if isinstance(earlier, Record) else earlier.status
    scores = {"public": earlier.public, "private": earlier.private}
    told = ", ".join(f"{name} {score:.5f}" for name, score in scores.items() if score is not None)
    return f"was sent {when} as {earlier.ref} ({told or state})"


def scored(record: Record) -> str:
    """The scores of a submission side by side, and where they would have stood in 2019."""
    if record.state != "complete":
        return printable(f"{record.file}: {record.state}, reference {record.ref or 'not known'}") + "\n"
    rows: list[tuple[Any, ...]] = []
    for name, score in (("local", record.local), ("public", record.public), ("private", record.private)):
        ahead = "" if score is None or record.local is None or name == "local" else score - record.local
        rows.append(
            (name, "" if score is None else score, ahead, "" if score is None else expected_place(score))
        )
    return table(f"Submission {record.ref}", ("score", "", "against local", "place on the 2019 board"), rows)


def submissions(records: Sequence[Record]) -> str:
    """All submissions, the oldest first."""
    if not records:
        return "nothing was sent yet\n"
    rows = [
        (
            record.sent or record.created,
            record.ref or "",
            record.state,
            *("" if score is None else score for score in (record.local, record.public, record.private)),
            "" if record.private is None else expected_place(record.private),
            record.sha256[:8],
            record.run or record.file,
            record.message,
            record.error,
        )
        for record in records
    ]
    columns = ("sent (UTC)", "reference", "state", "local", "public", "private", "place in 2019", "file")
    return table("Submissions", (*columns, "from", "message", "error"), rows)


def size(count: int | None) -> str:
    """Bytes as kB, MB or GB; nothing where they are not known."""
    return "" if count is None else _scaled(count, ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "bytes")))


def duration(seconds: float | None) -> str:
    """Seconds as hours, minutes or seconds; nothing where they are not known."""
    return "" if seconds is None else _scaled(seconds, ((3600, "h"), (60, "min"), (1, "s")))


def _scaled(value: float, units: Sequence[tuple[float, str]]) -> str:
    unit, name = next(((u, n) for u, n in units if value >= u), units[-1])
    return f"{value / unit:,.3g} {name}"
