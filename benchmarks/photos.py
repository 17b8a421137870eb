"""Photos from a local nginx (Debian's package), beside a pool of requests threads and bare aiohttp; all written."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.measure import run, table

PHOTOS, BYTES, AT_ONCE = 10_000, 28_000, 64
HEAD = b"\xff\xd8\xff\xda\x00\x02"  # as much of a JPEG as is checked
CONFIG = """
worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log; daemon off;
events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; keepalive_requests 100000;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; root {folder}/www; {more} }} }}
"""


def main() -> None:
    """Print the table."""
    if shutil.which("nginx") is None:
        print("\nphotos: nginx is not installed (Debian: apt-get install nginx-light); left out")
        return
    rows = []
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as url:
        for who in ("threads", "bare", "kit"):
            out = Path(name) / who
            seconds, memory = run(
                ["-c", f"from benchmarks.photos import {who}; {who}({url!r}, {str(out)!r})"]
            )
            got = sum(1 for _ in out.rglob("*.jpg"))
            rows.append([who, f"{got:,}", f"{seconds:.1f}", f"{got / seconds:,.0f}", f"{memory:,.0f}"])
    columns = ("by", "photos", "seconds, with the start", "photos/s", "peak MB")
    table(f"{PHOTOS:,} photos of {BYTES // 1000} KB, {AT_ONCE} at once", columns, rows)


def names() -> list[str]:
    """The ids of the photos."""
    return [f"{i:016x}" for i in range(PHOTOS)]


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The photos behind nginx on 127.0.0.1."""
    www = folder / "www"
    www.mkdir()
    body = np.random.default_rng(0).bytes(BYTES - len(HEAD) - 2)
    for name in names():
        (www / f"{name}.jpg").write_bytes(HEAD + body + b"\xff\xd9")
    with nginx(folder) as url:
        yield url


@contextmanager
def nginx(folder: Path, more: str = "") -> Iterator[str]:
    """What lies in `folder/www` behind nginx on 127.0.0.1; more: lines of its server's configuration."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "nginx.conf").write_text(CONFIG.format(folder=folder, port=port, more=more))
    with subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL) as server:
        time.sleep(0.5)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def kit(url: str, out: str) -> None:
    """Get them by kit."""
    import asyncio

    from kit.base.retry import RetryPolicy
    from kit.download.photo_download import PhotoRequest, PhotoSource, fetch_photos

    request = PhotoRequest(PhotoSource(url, Path(out)), AT_ONCE, RetryPolicy())
    stats = asyncio.run(fetch_photos(request, names()))
    sys.stdout.write(f"{stats.got}\n")


def bare(url: str, out: str) -> None:
    """Get them by aiohttp alone, the fastest client: no check, no retry, written in place."""
    import asyncio

    import aiohttp

    Path(out).mkdir()
    todo = iter(names())

    async def work(session: aiohttp.ClientSession) -> None:
        for name in todo:
            async with session.get(f"{url}/{name}.jpg") as answer:
                (Path(out) / f"{name}.jpg").write_bytes(await answer.read())

    async def all_of_them() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:
            await asyncio.gather(*(work(session) for _ in range(AT_ONCE)))

    asyncio.run(all_of_them())


def threads(url: str, out: str) -> None:
    """Get them by a pool of threads, a session each."""
    import threading

    import requests

    own = threading.local()
    Path(out).mkdir()

    def one(name: str) -> None:
        if not hasattr(own, "session"):
            own.session = requests.Session()
        answer = own.session.get(f"{url}/{name}.jpg", timeout=60)
        (Path(out) / f"{name}.jpg").write_bytes(answer.content)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, names()))
