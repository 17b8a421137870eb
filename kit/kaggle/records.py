"""One record a submission, in `submissions/`: what was sent, when, from which run, and what became of it."""

from __future__ import annotations

import dataclasses
import secrets
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from kit.base.errors import KitError
from kit.base.files import write_json
from kit.base.hashes import sha256_of
from kit.base.locks import exclusive_lock
from kit.base.version import __version__

# uploading: the file is on its way, nothing is submitted; sending: Kaggle was asked, and whether it took the
# submission is not known; failed: surely not submitted; pending, complete, error: submitted, as Kaggle says
State = Literal["uploading", "sending", "failed", "pending", "complete", "error"]
ARRIVED: tuple[State, ...] = ("sending", "pending", "complete")  # it counts, or may count
OPEN: tuple[State, ...] = ("sending", "pending")  # Kaggle may know more


@dataclass
class Record:
    """A submission. Times are UTC, ISO 8601; scores None until they are known; config: the run's, resolved."""

    id: str
    competition: str
    file: str
    sha256: str
    bytes: int
    message: str
    state: State
    created: str
    sent: str | None = None
    scored: str | None = None
    ref: int | None = None
    local: float | None = None
    public: float | None = None
    private: float | None = None
    error: str = ""
    run: str | None = None
    scorer: str | None = None
    config: dict[str, Any] | None = None
    kit: str = __version__

    @property
    def description(self) -> str:
        """The message as Kaggle keeps it, behind the mark by which the submission is found again."""
        return f"{self.mark} {self.message}".strip()

    @property
    def mark(self) -> str:
        """What this record's submission alone has in its description: the file's mark, and a number."""
        return f"{self.file_mark}{self.id.rpartition('-')[2]}]"

    @property
    def file_mark(self) -> str:
        """How the descriptions of all submissions of this very file begin, wherever they were sent from."""
        return f"[kit {self.sha256[:8]}-"

    def save(self, folder: Path) -> None:
        """Write the record, and be sure that it is on the disk."""
        path = folder / f"{self.id}.json"
        try:
            write_json(path, dataclasses.asdict(self))
        except KitError as error:
            hint = f"it was sent as {self.ref or 'yet unknown'}: look at Kaggle before sending it again"
            if self.state in ("uploading", "failed"):
                hint = "nothing was sent"
            raise KitError(error.message, hint) from None


def new_record(competition: str, file: Path, message: str, **more: Any) -> Record:
    """A record of a file that is about to be sent."""
    now = datetime.now(UTC)
    return Record(
        id=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}",
        competition=competition,
        file=str(file.resolve()),
        sha256=sha256_of(file),
        bytes=file.stat().st_size,
        message=message,
        state="uploading",
        created=utc_now_iso(now),
        **more,
    )


def read_records(folder: Path) -> list[Record]:
    """All records, the oldest first. Raises KitError where one cannot be read: it may have been sent."""
    from pydantic import TypeAdapter

    reader, records = TypeAdapter(Record), []
    hint = "mend it, or move it away if its submission is known not to matter"
    for path in sorted(folder.glob("*.json")):
        try:
            record = reader.validate_json(path.read_bytes(), strict=True)
        except OSError as error:
            raise KitError(f"{path}: cannot be read ({error.strerror})", hint) from None
        except ValueError as error:
            raise KitError(f"{path}: no record of a submission ({_why(error)})", hint) from None
        if record.id != path.stem:  # it would be written into another file
            raise KitError(f"{path}: the record of another name ({record.id}), a copy?", "move it away")
        records.append(record)
    return records


def _why(error: ValueError) -> str:
    """What is wrong with a record: the field, and pydantic's word on it."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]


def lock_records(folder: Path, wait: float = 10.0) -> AbstractContextManager[None]:
    """Keep other processes from sending, or from changing records, at the same time; wait: for them, in seconds.

    Raises LockedError.
    """
    return exclusive_lock(folder / ".lock", f"{folder}: another kit is at work on the submissions", wait=wait)


def utc_now_iso(moment: datetime | None = None) -> str:
    """A moment (default: now) as the records write it."""
    return (moment or datetime.now(UTC)).isoformat(timespec="seconds")
