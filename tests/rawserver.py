"""A local server that writes bytes as they are given, whatever they are."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Script = Callable[[socket.socket, int], None]  # writes the answer to a request, by the number of it


@dataclass
class Raw:
    """requests: the heads of what was asked, in order."""

    script: Script
    requests: list[str] = field(default_factory=list)
    url: str = ""


def saying(answer: bytes) -> Script:
    """These bytes, then the end."""
    return lambda line, _: line.sendall(answer)


def endless(head: bytes, block: bytes, seconds: float = 0.0) -> Script:
    """A head, then a block again and again."""

    def write(line: socket.socket, _: int) -> None:
        line.sendall(head)
        while True:
            line.sendall(block)
            time.sleep(seconds)

    return write


@contextmanager
def raw(script: Script) -> Iterator[Raw]:
    """Serve on 127.0.0.1 while inside; a connection a request."""
    served, sockets = Raw(script), []

    def one(line: socket.socket) -> None:
        with line, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                part = line.recv(65536)
                if not part:
                    return
                head += part
            served.requests.append(head.decode("latin-1"))
            served.script(line, len(served.requests))

    def accept() -> None:
        with suppress(OSError):
            while True:
                line, _ = listener.accept()
                sockets.append(line)
                threading.Thread(target=one, args=(line,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        served.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield served
        finally:
            for line in sockets:
                line.close()
