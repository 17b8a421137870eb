"""A server for this machine alone: it binds 127.0.0.1, and answers no page that has another name for it.

Nothing of an address becomes a path: images are places in a list, what else there is stands in a table.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from kit.base.errors import KitError
from kit.data.decode import UnreadableError
from kit.report.browse.choice import Choice, Side
from kit.report.browse.gallery import Gallery
from kit.report.browse.page import page, script, style

ADDRESS = "127.0.0.1"
HEADERS = {  # of every answer: nothing from elsewhere, in no other page
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
Answer = tuple[str, bytes]  # kind and content
SIDES: dict[str, Side] = {"/predictions.jpg": "predictions", "/truth.jpg": "truth"}


class Server(ThreadingHTTPServer):
    """Serves a gallery. port: 0 for a free one. Raises KitError where it is taken."""

    daemon_threads = True

    def __init__(self, gallery: Gallery, port: int = 0) -> None:
        self.gallery = gallery
        self.pages: dict[str, Callable[[str], Answer]] = {
            "/": lambda query: ("text/html; charset=utf-8", page(gallery, Choice.of(query)).encode()),
            "/style.css": lambda _: ("text/css; charset=utf-8", style().encode()),
            "/browse.js": lambda _: ("text/javascript; charset=utf-8", script().encode()),
        }
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise KitError(f"port {port}: cannot be served ({why})", "give another --port") from None

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{ADDRESS}:{self.server_port}/"

    def names(self) -> tuple[str, ...]:
        """What the header Host may say."""
        return f"{ADDRESS}:{self.server_port}", f"localhost:{self.server_port}"

    def answer(self, path: str, query: str) -> Answer | None:
        """The answer to a request; None where there is none. Raises UnreadableError for a damaged image."""
        if path in self.pages:
            return self.pages[path](query)
        side, choice = SIDES.get(path), Choice.of(query)
        if side in self.gallery.sides and self.gallery.find(choice).images:
            return "image/jpeg", self.gallery.drawing(choice, side)
        return None

    def handle_error(self, *_: object) -> None:
        """A browser that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("Host") not in self.server.names():
            return self._send(HTTPStatus.FORBIDDEN, ("text/plain", b"not this machine's name"))
        place = urlsplit(self.path)
        try:
            answer = self.server.answer(place.path, place.query)
        except (UnreadableError, KitError) as error:
            return self._send(HTTPStatus.INTERNAL_SERVER_ERROR, ("text/plain", str(error).encode()))
        if answer is None:
            return self._send(HTTPStatus.NOT_FOUND, ("text/plain", b"nothing here"))
        return self._send(HTTPStatus.OK, answer)

    def _send(self, status: HTTPStatus, answer: Answer) -> None:
        kind, content = answer
        with suppress(ConnectionError):
            self.send_response(status)
            for name, value in (
                *HEADERS.items(),
                ("Content-Type", kind),
                ("Content-Length", str(len(content))),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Requests are not told."""
