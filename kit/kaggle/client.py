"""The kaggle client's calls that a submission needs, each with time limits, tries and errors of one line."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from kit.base.errors import printable
from kit.base.progress import notice
from kit.base.retry import Patience
from kit.kaggle.credentials import sources
from kit.kaggle.faults import BUSY, KaggleError, fault, no_credentials
from kit.kaggle.naming import upload_name
from kit.kaggle.wire import Wire

T = TypeVar("T")
Status = Literal["pending", "complete", "error"]
COMPLETE, FAILED = 1, 2  # what the client says of an upload
EXPIRED = (404, 410)  # the storage's answer where an upload was begun too long ago
UNTOLD = (400, 404, 405, 501)  # answers of a Kaggle that does not tell how many submissions are left
PAGE, PAGES = 100, 50  # submissions a page, and pages that are read at the most


@dataclass(frozen=True)
class Answer:
    """What Kaggle says of a submission. Scores are None while there are none."""

    ref: int
    status: Status
    description: str = ""
    public: float | None = None
    private: float | None = None
    error: str = ""


class Client:
    """Kaggle for one competition, by its own client. Every method raises KaggleError."""

    def __init__(
        self, competition: str, patience: Patience, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Import the client and log in; both may ask Kaggle, and both may print and exit if left alone."""
        self.competition, self.patience, self.sleep = competition, patience, sleep
        self.wire = Wire(patience)
        self.api: Any = self._patiently(self._log_in)

    def remaining(self) -> int | None:
        """Submissions that are left today; None where Kaggle does not tell (it says 0 of 0 without a team)."""

        def ask() -> int | None:
            limits = self.api.competition_get_submission_limits(self.competition)
            left, today = int(limits.num_allowed_now), int(limits.num_today)
            return left if left or today else None

        try:
            return self._patiently(ask)
        except KaggleError as error:
            if error.status in UNTOLD or (error.status is None and not error.again and error.unsure):
                return None
            raise

    def upload(self, path: Path, sent: Callable[[int], None] = lambda _: None) -> str:
        """Bring the file to Kaggle's storage; the token to submit it by. It goes on where a cut left it.

        sent: told the bytes that have arrived. An upload alone is no submission: it can be repeated freely.
        """
        self.wire.sent = sent
        for number in range(self.patience.tries):
            start = self._patiently(lambda: self._start(path))
            if self._put(path, start.create_url):
                return str(start.token)
            again = self.wire.error is None and self.wire.status in (*BUSY, *EXPIRED)
            if not again or number + 1 == self.patience.tries:
                break
            self._pause(number, self._put_fault())
        raise self._put_fault()

    def create(self, token: str, description: str) -> int:
        """Submit an uploaded file; Kaggle's reference, 0 where it gives none. Never tried twice."""
        from kagglesdk.competitions.types.competition_api_service import ApiCreateSubmissionRequest

        def ask() -> tuple[int, str]:
            request = ApiCreateSubmissionRequest()
            request.competition_name = self.competition
            request.blob_file_tokens = token
            request.submission_description = description
            with self.api.build_kaggle_client() as kaggle:
                answer = kaggle.competitions.competition_api_client.create_submission(request)
            return _reference(answer.ref), _line(answer.message)

        ref, words = self._once(ask)
        if not ref and "success" not in words.lower():
            raise KaggleError(f"Kaggle took no submission: {words or 'it does not say why'}", unsure=True)
        return ref

    def submission(self, ref: int) -> Answer:
        """One submission by its reference."""
        from kagglesdk.competitions.types.competition_api_service import ApiGetSubmissionRequest

        def ask() -> Answer:
            request = ApiGetSubmissionRequest()
            request.ref = ref
            with self.api.build_kaggle_client() as kaggle:
                return _answer(kaggle.competitions.competition_api_client.get_submission(request))

        return self._patiently(ask)

    def submissions(self) -> list[Answer]:
        """All of the team's submissions, the newest first."""
        found: dict[int, Answer] = {}
        for page in range(1, PAGES + 1):
            part = self._patiently(partial(self._page, page))
            new = {answer.ref: answer for answer in part if answer.ref not in found}
            if not new:
                break
            found |= new
        return [answer for answer in found.values() if answer.ref > 0]

    def download(self, name: str, folder: Path) -> Path:
        """Get a file of the competition's data into an empty folder; the file as it came (it may be a zip)."""
        self._patiently(
            lambda: self.api.competition_download_file(
                self.competition, name, str(folder), force=True, quiet=True
            )
        )
        files = [p for p in folder.iterdir() if p.is_file() and not p.name.endswith(".kaggle-partial")]
        if len(files) != 1:
            raise KaggleError(f"{name}: Kaggle sent no file", "try again")
        return files[0]

    def _page(self, page: int) -> list[Answer]:
        part = self.api.competition_submissions(self.competition, page_number=page, page_size=PAGE)
        return [_answer(found) for found in part or ()]

    def _log_in(self) -> Any:
        if not sources():
            raise no_credentials()
        try:
            from kaggle.api.kaggle_api_extended import KaggleApi

            api = KaggleApi()
            api.authenticate()
        except SystemExit:
            raise no_credentials() from None
        return api

    def _start(self, path: Path) -> Any:
        from kagglesdk.competitions.types.competition_api_service import ApiStartSubmissionUploadRequest

        request = ApiStartSubmissionUploadRequest()
        request.competition_name = self.competition
        request.file_name = upload_name(path)
        request.content_length = path.stat().st_size
        request.last_modified_epoch_seconds = int(path.stat().st_mtime)
        with self.api.build_kaggle_client() as kaggle:
            return kaggle.competitions.competition_api_client.start_submission_upload(request)

    def _put(self, path: Path, url: str) -> bool:
        """Send the bytes; after a cut ask how many arrived and go on from there."""
        for number in range(self.patience.tries):
            result = self._once(partial(self.api.upload_complete, str(path), url, True, number > 0))
            if result == COMPLETE:
                return True
            if result == FAILED or number + 1 == self.patience.tries:
                return False
            self._pause(number, self._put_fault())
        return False

    def _put_fault(self) -> KaggleError:
        if self.wire.error is not None:
            found = fault(self.wire.error, self.competition, self.wire)
            return KaggleError(f"the upload failed: {found.message}", found.hint)
        if self.wire.status is None:
            return KaggleError(f"the upload failed: {self.wire.last_said()}", "mend it and try again")
        return KaggleError(f"Kaggle's storage refused the upload ({self.wire.status})", "try again later")

    def _once(self, call: Callable[[], T]) -> T:
        with self.wire.watched():
            try:
                return call()
            except (KaggleError, ImportError):
                raise
            except Exception as error:
                raise fault(error, self.competition, self.wire) from None

    def _patiently(self, call: Callable[[], T]) -> T:
        """What a call gives that may be repeated: tried again after a fault that may pass."""
        for number in range(self.patience.tries):
            try:
                return self._once(call)
            except KaggleError as error:
                if not error.again or number + 1 == self.patience.tries:
                    raise
                self._pause(number, error)
        raise AssertionError("unreachable")

    def _pause(self, number: int, error: KaggleError) -> None:
        seconds = self.patience.pause(number, error.wait)
        notice(f"{error.message}: trying again in {seconds:.0f} s")
        self.sleep(seconds)


def _answer(found: Any) -> Answer:
    """Raises ValueError where it is not understood."""
    status = found.status.name.lower()
    if status not in get_args(Status):
        raise ValueError(f"status {status}")
    return Answer(
        ref=_reference(found.ref),
        status=status,
        description=_line(found.description),
        public=_score(found.public_score),
        private=_score(found.private_score),
        error=_line(found.error_description),
    )


def _reference(found: Any) -> int:
    """Kaggle's number of a submission, 0 where it gives none. Raises ValueError, TypeError."""
    ref = int(found or 0)
    if not 0 <= ref < 1 << 63:
        raise ValueError("no reference")
    return ref


def _line(text: Any) -> str:
    return printable(str(text)) if text else ""


def _score(text: Any) -> float | None:
    try:
        score = float(text) if text else None
    except (ValueError, TypeError):
        return None
    return score if score is not None and math.isfinite(score) else None
