"""The HTTP adapter of requests as the kaggle client needs it: time limits, the count of sent bytes, the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from kit.base.retry import RetryPolicy, clock_skew


@dataclass
class PatchedAdapter:
    """Watches every call that the kaggle client makes through requests.

    on_sent: told how many bytes of the file have gone out. status, error: of the last call; skew: seconds that
    this machine's clock is ahead of the server's.
    """

    policy: RetryPolicy
    on_sent: Callable[[int], None] = lambda _: None
    status: int | None = None
    error: Exception | None = None
    skew: float = 0.0
    captured_stdout: StringIO = field(default_factory=StringIO)

    def last_printed(self) -> str:
        """The last line that the client printed in this call."""
        lines = self.captured_stdout.getvalue().split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it does not say why")

    @contextmanager
    def patched(self) -> Iterator[None]:
        """Inside, calls have the time limits, uploads are counted and not started over, and stdout is caught.

        The client gives its calls no time limit, hides how an upload failed, and prints what it likes; all
        its calls go through one method of requests, which is wrapped while inside.
        """
        from requests.adapters import HTTPAdapter
        from urllib3.util.retry import Retry

        original = HTTPAdapter.send
        self.status, self.error, self.captured_stdout = None, None, StringIO()
        limits = self.policy.connect_timeout, self.policy.read_timeout

        def send(adapter: Any, request: Any, stream: bool = False, timeout: Any = None, **more: Any) -> Any:
            self.status, self.error = None, None
            if request.method == "PUT":
                adapter.max_retries = Retry(0, read=False)
                if hasattr(request.body, "read"):
                    request.body = _CountedFile(request.body, self.on_sent)
            try:
                response = original(adapter, request, stream=stream, timeout=timeout or limits, **more)
            except Exception as error:
                self.error = error
                raise
            self.status = response.status_code
            self.skew = clock_skew(response.headers.get("Date", "")) or 0.0
            return response

        HTTPAdapter.send = send  # type: ignore[method-assign, assignment]
        try:
            with redirect_stdout(self.captured_stdout):
                yield
        finally:
            HTTPAdapter.send = original  # type: ignore[method-assign]


class _CountedFile:
    """A file whose position is told at every read."""

    def __init__(self, file: Any, on_read: Callable[[int], None]) -> None:
        self._file, self._on_read = file, on_read

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        self._on_read(self._file.tell())
        return data

    def tell(self) -> int:
        return int(self._file.tell())

    def seek(self, *where: int) -> int:
        return int(self._file.seek(*where))
