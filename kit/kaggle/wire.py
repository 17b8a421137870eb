"""What the kaggle client leaves out on the wire: time limits, the count of sent bytes, the server's clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from kit.base.retry import Patience, clock_skew


@dataclass
class Wire:
    """Watches every call that the kaggle client makes through requests.

    sent: told how many bytes of the file have gone out. status, error: of the last call; skew: seconds that
    this machine's clock is ahead of the server's.
    """

    patience: Patience
    sent: Callable[[int], None] = lambda _: None
    status: int | None = None
    error: Exception | None = None
    skew: float = 0.0
    said: StringIO = field(default_factory=StringIO)

    def last_said(self) -> str:
        """The last line that the client printed in this call."""
        lines = self.said.getvalue().split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it does not say why")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Inside, calls have the time limits, uploads are counted and not begun anew, and stdout is caught.

        The client gives its calls no time limit, hides how an upload failed, and prints what it likes; all
        its calls go through one method of requests, which is wrapped while inside.
        """
        from requests.adapters import HTTPAdapter
        from urllib3.util.retry import Retry

        original = HTTPAdapter.send
        self.status, self.error, self.said = None, None, StringIO()
        limits = self.patience.connect, self.patience.read

        def send(adapter: Any, request: Any, stream: bool = False, timeout: Any = None, **more: Any) -> Any:
            self.status, self.error = None, None
            if request.method == "PUT":
                adapter.max_retries = Retry(0, read=False)
                if hasattr(request.body, "read"):
                    request.body = _Counted(request.body, self.sent)
            try:
                answer = original(adapter, request, stream=stream, timeout=timeout or limits, **more)
            except Exception as error:
                self.error = error
                raise
            self.status = answer.status_code
            self.skew = clock_skew(answer.headers.get("Date", "")) or 0.0
            return answer

        HTTPAdapter.send = send  # type: ignore[method-assign, assignment]
        try:
            with redirect_stdout(self.said):
                yield
        finally:
            HTTPAdapter.send = original  # type: ignore[method-assign]


class _Counted:
    """A file whose position is told at every read."""

    def __init__(self, file: Any, tell: Callable[[int], None]) -> None:
        self._file, self._tell = file, tell

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        self._tell(self._file.tell())
        return data

    def tell(self) -> int:
        return int(self._file.tell())

    def seek(self, *where: int) -> int:
        return int(self._file.seek(*where))
