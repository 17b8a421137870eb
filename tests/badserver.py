"""A local HTTP server that behaves as badly as it is told to."""

from __future__ import annotations

import gzip
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answers:
    """files: path -> bytes. tricks: path -> what to do in the next requests, one after the other:

    "cut N" (stop after N bytes), "status N [Retry-After]", "page" (HTML), "slow N" (seconds before the body),
    "trickle" (byte by byte), "short" (no length, stop early), "reset" (close before any answer), "wrong range".
    """

    files: dict[str, bytes] = field(default_factory=dict)
    tricks: dict[str, list[str]] = field(default_factory=dict)
    ranges: bool = True
    etag: bool = True
    weak: str = ""  # "W/": ETags that do not tell versions apart
    honest: bool = True  # whether it heeds If-Range
    packed: bool = False  # whether it sends gzip though nobody asked for it
    page: bytes = b"<html>please log in</html>"
    kind: str = "text/html"  # of the page
    seen: Counter[str] = field(default_factory=Counter)
    log: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""
    together: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Server(ThreadingHTTPServer):
    request_queue_size = 256  # connections that wait: a refused one would be tried again after a second
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news here."""


@contextmanager
def serving() -> Iterator[Answers]:
    """Serve on 127.0.0.1 while inside."""
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET(body=False)

        def do_GET(self, body: bool = True) -> None:
            with answers.lock:
                answers.seen[self.path] += 1
                answers.log.append((self.path, self.headers.get("Range", "")))
                answers.together += 1
                answers.most = max(answers.most, answers.together)
                waiting = answers.tricks.get(self.path, [])
                trick = (waiting.pop(0) if waiting else "").split()
            try:
                _answer(self, answers, trick, body)
            except (BrokenPipeError, ConnectionResetError):
                pass
            finally:
                with answers.lock:
                    answers.together -= 1

    server = Server(("127.0.0.1", 0), Handler)
    answers.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield answers
    finally:
        server.shutdown()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, answers: Answers, trick: list[str], body: bool) -> None:
    kind = trick[0] if trick else ""
    if kind == "reset":
        handler.close_connection = True
        handler.connection.close()
        return
    if kind == "status" or handler.path not in answers.files:
        status = int(trick[1]) if kind == "status" else 404
        handler.send_response(status)
        if len(trick) > 2:
            handler.send_header("Retry-After", " ".join(trick[2:]))
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    data, start = answers.files[handler.path], 0
    if kind == "page":
        data = answers.page
    tag = f'{answers.weak}"{hash(data)}"'
    if answers.packed:
        data = gzip.compress(data, mtime=0)
    wanted = handler.headers.get("Range", "")
    if (
        wanted
        and answers.ranges
        and kind != "page"
        and (handler.headers.get("If-Range") in (None, tag) or not answers.honest)
    ):
        start = int(wanted.removeprefix("bytes=").partition("-")[0])
        if start >= len(data):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(data)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206)
        shown = start + 1 if kind == "wrong" else start
        handler.send_header("Content-Range", f"bytes {shown}-{len(data) - 1}/{len(data)}")
    else:
        handler.send_response(200)
    handler.send_header("Content-Type", answers.kind if kind == "page" else "application/octet-stream")
    if answers.packed:
        handler.send_header("Content-Encoding", "gzip")
    if answers.etag:
        handler.send_header("ETag", tag)
    if kind == "short":
        handler.close_connection = True
        handler.send_header("Connection", "close")
    else:
        handler.send_header("Content-Length", str(len(data) - start))
    handler.end_headers()
    if kind == "slow":
        time.sleep(float(trick[1]))
    end = {"cut": start + int(trick[1]) if kind == "cut" else 0, "short": len(data) // 2}.get(kind, len(data))
    for i in range(start, end if kind == "trickle" else start):
        handler.wfile.write(data[i : i + 1])
        time.sleep(0.02)
    if body and kind != "trickle":
        handler.wfile.write(data[start:end])
    if kind == "cut":
        handler.wfile.flush()
        handler.close_connection = True
        handler.connection.close()
