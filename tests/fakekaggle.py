"""Kaggle on 127.0.0.1, for the real client: it speaks its calls, and fails as it is told to."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from kit.base.retry import RetryPolicy
from tests.badserver import Server

HASTY = RetryPolicy(connect_timeout=1, read_timeout=0.5, attempts=3, backoff=0.01)
SLUG = "open-images-2019-visual-relationship"
USER, KEY, TOKEN = "someone", "secret-key-0123", "KGAT_secret_token"
TODAY = "has used its daily Submission allowance (5) today, please try again tomorrow UTC"


@dataclass
class Upload:
    """A file on its way into the storage."""

    size: int
    data: bytearray = field(default_factory=bytearray)


@dataclass
class Kaggle:
    """tricks: method (or "PUT", "GET") -> what to do in the next calls, one after the other:

    "status N [words]", "page" (HTML with 200), "reset" (no answer), "lost" (do it, then no answer),
    "cut N" (close after N bytes), "slow S", "retry N" (429 with Retry-After), "answer JSON".
    """

    tricks: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    left: int = 5
    used: int = 1
    rules: bool = True
    looks: int = 1  # looks at a submission until it is scored
    score: Callable[[bytes], tuple[str, str]] = lambda _: ("0.41", "0.39")
    refused: str = ""  # why the scoring refuses the file
    late: float = 0.0  # seconds that this server's clock is behind
    seen: Counter[str] = field(default_factory=Counter)
    ranges: list[str] = field(default_factory=list)
    uploads: dict[str, Upload] = field(default_factory=dict)
    submissions: list[dict[str, Any]] = field(default_factory=list)
    before_answer: Callable[[str], None] = lambda _: None
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    kaggle: Kaggle

    def log_message(self, *_: object) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate((timestamp or time.time()) - self.kaggle.late, usegmt=True)

    def do_CONNECT(self) -> None:
        self._send(403, b"")

    def do_POST(self) -> None:
        method = urlsplit(self.path).path.rsplit("/", 1)[-1]
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        self._tricked(method, lambda: self._call(method, asked))

    def do_PUT(self) -> None:
        self._tricked("PUT", self._put)

    def do_GET(self) -> None:
        self._tricked("GET", self._get)

    def _tricked(self, name: str, work: Callable[[], tuple[int, Any]]) -> None:
        self.kaggle.seen[name] += 1
        waiting = self.kaggle.tricks.get(name, [])
        kind, _, rest = (waiting.pop(0) if waiting else "").partition(" ")
        try:
            if kind == "reset":
                self._close()
            elif kind == "status":
                status, _, words = rest.partition(" ")
                self._json(int(status), {"code": int(status), "message": words} if words else {})
            elif kind == "retry":
                self._send(429, b"{}", {"Retry-After": rest})
            elif kind == "page":
                self._send(200, b"<html>please log in</html>", {"Content-Type": "text/html"})
            elif kind == "answer":
                self._json(200, json.loads(rest))
            elif kind == "lost":
                work()
                self._close()
            elif kind == "cut":
                self._cut(name, int(rest), work)
            else:
                if kind == "slow":
                    time.sleep(float(rest))
                status, value = work()
                self.kaggle.before_answer(name)
                if status:
                    self._json(status, value) if isinstance(value, dict) else self._send(status, value)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def _cut(self, name: str, n: int, work: Callable[[], tuple[int, Any]]) -> None:
        """Take (or give) so many bytes, then close."""
        if name == "PUT":
            upload = self.kaggle.uploads[urlsplit(self.path).path.rsplit("/", 1)[-1]]
            upload.data += self.rfile.read(n)
        else:
            data = self.kaggle.files[urlsplit(self.path).path.rsplit("/", 1)[-1]]
            self.send_response(200)
            self._file_headers(len(data))
            self.wfile.write(data[:n])
            self.wfile.flush()
        self._close()

    def _call(self, method: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if method == "IntrospectToken":
            good = asked.get("token") == TOKEN
            return 200, {"active": good, "username": USER} if good else {"active": False}
        if not self._known():
            return 401, {"code": 401, "message": "Unauthenticated"}
        if asked.get("competitionName", SLUG) != SLUG:
            return 404, {"code": 404, "message": "Not found"}
        if not self.kaggle.rules:
            words = "You must accept this competition's rules before you'll be able to download files."
            return 403, {"code": 403, "message": words}
        answer = getattr(self, f"_{method}")(asked)
        return answer if isinstance(answer, tuple) else (200, answer)

    def _known(self) -> bool:
        basic = "Basic " + base64.b64encode(f"{USER}:{KEY}".encode()).decode()
        return self.headers.get("Authorization") in (basic, f"Bearer {TOKEN}")

    def _GetSubmissionLimits(self, _: Any) -> Any:
        return {"numToday": self.kaggle.used, "numTotal": self.kaggle.used, "numAllowedNow": self.kaggle.left}

    def _StartSubmissionUpload(self, asked: Any) -> Any:
        token = f"token-{len(self.kaggle.uploads)}"
        self.kaggle.uploads[token] = Upload(int(asked["contentLength"]))
        return {"token": token, "createUrl": f"http://localhost/upload/{token}"}

    def _CreateSubmission(self, asked: Any) -> Any:
        upload = self.kaggle.uploads[asked["blobFileTokens"]]
        if self.kaggle.left == 0:
            return 400, {"code": 400, "message": f"Submission not allowed: Your team {TODAY}"}
        assert len(upload.data) == upload.size
        ref = 1000 + len(self.kaggle.submissions)
        self.kaggle.submissions.append(
            {
                "ref": ref,
                "description": asked["submissionDescription"],
                "data": bytes(upload.data),
                "looks": 0,
            }
        )
        self.kaggle.left -= 1
        return {"message": "Successfully submitted", "ref": ref}

    def _GetSubmission(self, asked: Any) -> Any:
        own = [self._shown(s) for s in self.kaggle.submissions if s["ref"] == asked["ref"]]
        return own[0] if own else (404, {"code": 404, "message": "Not found"})

    def _ListSubmissions(self, asked: Any) -> Any:
        page, size = (
            int(asked.get("page", 1)),
            min(int(asked.get("pageSize", 20)), 2),
        )  # two a page at the most
        newest = self.kaggle.submissions[::-1][size * (page - 1) : size * page]
        return {"submissions": [self._shown(s) for s in newest]}

    def _shown(self, own: dict[str, Any]) -> dict[str, Any]:
        own["looks"] += 1
        out = {key: own[key] for key in ("ref", "description")}
        if own["looks"] <= self.kaggle.looks:
            return out | {"status": "PENDING"}
        if self.kaggle.refused:
            return out | {"status": "ERROR", "errorDescription": self.kaggle.refused}
        public, private = self.kaggle.score(own["data"])
        return out | {"status": "COMPLETE", "publicScore": public, "privateScore": private}

    def _DownloadDataFile(self, asked: Any) -> Any:
        if asked["fileName"] not in self.kaggle.files:
            return 404, {"code": 404, "message": f"no file {asked['fileName']}"}
        self._send(302, b"", {"Location": f"http://localhost/storage/{asked['fileName']}"})
        return 0, None

    def _put(self) -> tuple[int, Any]:
        upload = self.kaggle.uploads.get(urlsplit(self.path).path.rsplit("/", 1)[-1])
        span = self.headers.get("Content-Range", "")
        self.kaggle.ranges.append(span)
        length = int(self.headers.get("Content-Length", 0))
        if upload is None:
            return 404, b""
        if span.startswith("bytes */") and len(upload.data) < upload.size:
            more = {"Range": f"bytes=0-{len(upload.data) - 1}"} if upload.data else {}
            self._send(308, b"", more)
            return 0, None
        start = int(span.removeprefix("bytes ").split("-")[0]) if span.startswith("bytes ") and length else 0
        if length:
            upload.data[start:] = self.rfile.read(length)
        return 200, b""

    def _get(self) -> tuple[int, Any]:
        data = self.kaggle.files[urlsplit(self.path).path.rsplit("/", 1)[-1]]
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        self._file_headers(len(data) - start)
        self.wfile.write(data[start:])
        return 0, None

    def _file_headers(self, length: int) -> None:
        self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Mon, 01 Jul 2019 00:00:00 GMT")
        self.end_headers()

    def _json(self, status: int, value: dict[str, Any]) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _close(self) -> None:
        self.close_connection = True
        self.connection.close()


@contextmanager
def kaggle_at_home() -> Iterator[Kaggle]:
    """Serve while inside; `url` is the proxy to give to the real client, see `environment`."""
    kaggle = Kaggle()
    own = type("Own", (Handler,), {"kaggle": kaggle})
    server = Server(("127.0.0.1", 0), own)
    kaggle.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield kaggle
    finally:
        server.shutdown()
        server.server_close()


def environment(kaggle: Kaggle, home: Any) -> dict[str, str]:
    """Variables that lead the real client to this server alone, with a home of its own and a key."""
    return {
        "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
        "HTTP_PROXY": kaggle.url,
        "http_proxy": kaggle.url,
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "ALL_PROXY": "",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "HOME": str(home),
        "KAGGLE_CONFIG_DIR": "",
        "KAGGLE_API_TOKEN": "",
        "KAGGLE_USERNAME": USER,
        "KAGGLE_KEY": KEY,
        "XDG_CONFIG_HOME": "",
    }
