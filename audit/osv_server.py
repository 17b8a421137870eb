"""A local answer to pip-audit's questions: OSV advisories (https://ossf.github.io/osv-schema/) from a file.

The file is a JSON advisory, a list of them, a folder of them, or the zip of an ecosystem that OSV publishes.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from kit.base.errors import FileFault

Advisory = Mapping[str, Any]  # as the OSV schema has it


@contextmanager
def osv_server(path: Path) -> Iterator[str]:
    """The address that answers as OSV's /v1/query does, from the advisories of `path`."""
    known: dict[str, list[Advisory]] = {}
    for advisory in read_advisories(path):
        for name in {_package(affected) for affected in advisory.get("affected", ())} - {""}:
            known.setdefault(name, []).append(advisory)
    if not known:
        raise FileFault(
            path, "has no advisory of a PyPI package", hint="give OSV advisories: a file, folder or zip"
        )

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name, version = canonicalize_name(query["package"]["name"]), query["version"]
            found = [_named(a, name) for a in known.get(name, ()) if is_affected(a, name, version)]
            body = json.dumps({"vulns": found} if found else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def read_advisories(path: Path) -> Iterator[Advisory]:
    """The advisories of a file, a folder of JSON files or a zip of them; FileFault for one that is none."""
    for name, text in _texts(path):
        try:
            value = json.loads(text)
            advisories = value if isinstance(value, list) else [value]
            if not all("id" in advisory for advisory in advisories):
                raise ValueError("an advisory without id")
        except (ValueError, TypeError) as error:
            raise FileFault(path, f"{name}: not OSV JSON ({error})") from error
        yield from advisories


def _texts(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        yield from ((file.name, file.read_bytes()) for file in sorted(path.glob("*.json")))
    elif not path.is_file():
        raise FileFault(path, "no such file of advisories")
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as members:
            yield from ((name, members.read(name)) for name in sorted(members.namelist()))
    else:
        yield path.name, path.read_bytes()


def _package(affected: Mapping[str, Any]) -> str:
    """The name of the PyPI package; "" for another ecosystem's."""
    package = affected.get("package", {})
    return canonicalize_name(package["name"]) if package.get("ecosystem") == "PyPI" else ""


def _named(advisory: Advisory, name: str) -> Advisory:
    """The advisory with the package's name as pip-audit compares it: in its canonical spelling."""
    affected = [
        a | {"package": {"name": name, "ecosystem": "PyPI"}}
        for a in advisory["affected"]
        if _package(a) == name
    ]
    return {**advisory, "affected": affected}


def is_affected(advisory: Advisory, name: str, version: str) -> bool:
    """Whether a version is listed, or lies in a range of versions (OSV's evaluation)."""
    return any(
        version in affected.get("versions", ())
        or any(
            _in_range(r["events"], version) for r in affected.get("ranges", ()) if r["type"] == "ECOSYSTEM"
        )
        for affected in advisory.get("affected", ())
        if _package(affected) == name
    )


def _in_range(events: Iterable[Mapping[str, str]], version: str) -> bool:
    """Affected from `introduced` on, up to before `fixed` or up to `last_affected`; where unreadable: affected."""
    try:
        own = Version(version)
        steps = sorted((Version(bound), kind) for event in events for kind, bound in event.items())
    except InvalidVersion:
        return True
    affected = False
    for bound, kind in steps:
        if kind == "introduced" and bound <= own:
            affected = True
        elif (kind == "fixed" and bound <= own) or (kind == "last_affected" and bound < own):
            affected = False
    return affected
