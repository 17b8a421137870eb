"""The kaggle client's calls that a submission needs, each with time limits, retries and errors of one line."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from kit.base.errors import printable
from kit.base.log import logger
from kit.base.retry import RemoteError, RetryPolicy, retry
from kit.kaggle.client_errors import BUSY, KaggleError, as_kaggle_error, no_credentials
from kit.kaggle.credentials import sources
from kit.kaggle.http_adapter import PatchedAdapter

T = TypeVar("T")
Status = Literal["pending", "complete", "error"]
COMPLETE, FAILED = 1, 2  # what the client says of an upload
PACKED = ((b"PK\x03\x04", ".zip"), (b"\x1f\x8b", ".gz"))  # how files begin, and the ending of their names
EXPIRED = (404, 410)  # the storage's answer where an upload was begun too long ago
NO_LIMITS = (400, 404, 405, 501)  # answers of a Kaggle that does not tell how many submissions are left
PAGE_SIZE, MAX_PAGES = 100, 50  # submissions a page, and pages that are read at the most


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
        self, competition: str, policy: RetryPolicy, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Import the client and log in; both may ask Kaggle, and both may print and exit if left alone."""
        self.competition, self.policy, self.sleep = competition, policy, sleep
        self.adapter = PatchedAdapter(policy)
        self.api: Any = self._retry(self._log_in)

    def remaining(self) -> int | None:
        """Submissions that are left today; None where Kaggle does not tell (it says 0 of 0 without a team)."""

        def ask() -> int | None:
            limits = self.api.competition_get_submission_limits(self.competition)
            left, today = int(limits.num_allowed_now), int(limits.num_today)
            return left if left or today else None

        try:
            return self._retry(ask)
        except KaggleError as error:
            if error.status in NO_LIMITS or (
                error.status is None and not error.retryable and error.outcome_unknown
            ):
                return None
            raise

    def upload(self, path: Path, on_sent: Callable[[int], None] = lambda _: None) -> str:
        """Bring the file to Kaggle's storage; the token to submit it by. It goes on where a cut left it.

        on_sent: told the bytes that have arrived. An upload alone is no submission: it can be repeated freely.
        """
        self.adapter.on_sent = on_sent
        for number in range(self.policy.attempts):
            start = self._retry(lambda: self._start(path))
            if self._put(path, start.create_url):
                return str(start.token)
            retryable = self.adapter.error is None and self.adapter.status in (*BUSY, *EXPIRED)
            if not retryable or number + 1 == self.policy.attempts:
                break
            self._wait(number, self._put_error())
        raise self._put_error()

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

        ref, text = self._once(ask)
        if not ref and "success" not in text.lower():
            why = text or "it does not say why"
            raise KaggleError(f"Kaggle took no submission: {why}", outcome_unknown=True)
        return ref

    def submission(self, ref: int) -> Answer:
        """One submission by its reference."""
        from kagglesdk.competitions.types.competition_api_service import ApiGetSubmissionRequest

        def ask() -> Answer:
            request = ApiGetSubmissionRequest()
            request.ref = ref
            with self.api.build_kaggle_client() as kaggle:
                return _answer(kaggle.competitions.competition_api_client.get_submission(request))

        return self._retry(ask)

    def submissions(self) -> list[Answer]:
        """All of the team's submissions, the newest first."""
        answers: dict[int, Answer] = {}
        for page in range(1, MAX_PAGES + 1):
            part = self._retry(partial(self._page, page))
            new = {answer.ref: answer for answer in part if answer.ref not in answers}
            if not new:
                break
            answers |= new
        return [answer for answer in answers.values() if answer.ref > 0]

    def download(self, name: str, folder: Path) -> Path:
        """Get a file of the competition's data into an empty folder; the file as it came (it may be a zip)."""
        self._retry(
            lambda: self.api.competition_download_file(
                self.competition, name, str(folder), force=True, quiet=True
            )
        )
        files = [p for p in folder.iterdir() if p.is_file() and not p.name.endswith(".kaggle-partial")]
        if len(files) != 1:
            raise KaggleError(f"{name}: Kaggle sent no file", "try again")
        return files[0]

    def _page(self, page: int) -> list[Answer]:
        part = self.api.competition_submissions(self.competition, page_number=page, page_size=PAGE_SIZE)
        return [_answer(submission) for submission in part or ()]

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
        for number in range(self.policy.attempts):
            result = self._once(partial(self.api.upload_complete, str(path), url, True, number > 0))
            if result == COMPLETE:
                return True
            if result == FAILED or number + 1 == self.policy.attempts:
                return False
            self._wait(number, self._put_error())
        return False

    def _put_error(self) -> KaggleError:
        if self.adapter.error is not None:
            error = as_kaggle_error(self.adapter.error, self.competition, self.adapter)
            return KaggleError(f"the upload failed: {error.message}", error.hint)
        if self.adapter.status is None:
            return KaggleError(f"the upload failed: {self.adapter.last_printed()}", "mend it and try again")
        return KaggleError(f"Kaggle's storage refused the upload ({self.adapter.status})", "try again later")

    def _once(self, call: Callable[[], T]) -> T:
        with self.adapter.patched():
            try:
                return call()
            except (KaggleError, ImportError):
                raise
            except Exception as error:
                raise as_kaggle_error(error, self.competition, self.adapter) from None

    def _retry(self, call: Callable[[], T]) -> T:
        """What a call gives that may be repeated."""
        return retry(lambda: self._once(call), self.policy, _log_retry, self.sleep)

    def _wait(self, failures: int, error: KaggleError) -> None:
        seconds = self.policy.delay(failures)
        _log_retry(error, seconds)
        self.sleep(seconds)


def _log_retry(error: RemoteError, seconds: float) -> None:
    logger.warning(f"{error.message}: trying again in {seconds:.0f} s")


def upload_name(path: Path) -> str:
    """The name to upload a file by, since Kaggle unpacks by its ending: .csv, .csv.gz or .csv.zip as the first
    bytes say, else as it is.
    """
    with path.open("rb") as file:
        start = file.read(4)
    packing = next((ending for mark, ending in PACKED if start.startswith(mark)), "")
    stem = path.name
    while stem.lower().endswith((".zip", ".gz", ".csv")):
        stem = stem[: stem.rindex(".")]
    given = path.name[len(stem) :]
    named = next((ending for _, ending in PACKED if given.lower().endswith(ending)), "")
    return path.name if named == packing and given else f"{stem}.csv{packing}"


def _answer(submission: Any) -> Answer:
    """Raises ValueError where it is not understood."""
    status = submission.status.name.lower()
    if status not in get_args(Status):
        raise ValueError(f"status {status}")
    return Answer(
        ref=_reference(submission.ref),
        status=status,
        description=_line(submission.description),
        public=_score(submission.public_score),
        private=_score(submission.private_score),
        error=_line(submission.error_description),
    )


def _reference(value: Any) -> int:
    """Kaggle's number of a submission, 0 where it gives none. Raises ValueError, TypeError."""
    ref = int(value or 0)
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
