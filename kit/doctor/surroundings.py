"""What surrounds a run: its folder, Kaggle's credentials, the hosts that the data come from."""

from __future__ import annotations

import os
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryFile
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import Request, urlopen

from kit.base.address import is_address, shown
from kit.base.errors import KitError, first_line
from kit.config import Config
from kit.doctor.check import Check, answers_within
from kit.download.remote import registry
from kit.kaggle.credentials import SETTINGS, open_to_others, sources

TIMEOUT = 5.0  # seconds for all hosts together
KAGGLE = "https://api.kaggle.com"
TOKEN = f"write a token of {SETTINGS} to ~/.kaggle/access_token"
ASKS_FOR_PASSWORD = (401, 407)


def run_folder(run: Path) -> Check:
    """Whether results can be written: a file is, where the folder is or would be made, and is gone again."""
    name, cure = "run folder", "--run FOLDER that can be written"
    if run.exists() and not run.is_dir():
        return Check(name, "FAIL", f"{run} is a file", cure)
    there = next(p for p in (run.absolute(), *run.absolute().parents) if p.exists())
    try:
        if not there.is_dir():
            raise NotADirectoryError(20, "a file, not a folder")
        with TemporaryFile(dir=there) as file:
            file.write(b"kit")
    except OSError as error:
        return Check(name, "FAIL", f"{there} cannot be written ({error.strerror})", cure)
    return Check(name, "OK", f"{run}{'' if run.exists() else ' (will be made)'}")


def credentials(config: Config) -> Check:
    """Whether the kaggle client would find credentials, of which nothing but the place is told."""
    name, found = "Kaggle", sources()
    exposed = open_to_others()
    if exposed:
        return Check(name, "WARN", f"other users can read {exposed[0]}", f"chmod 600 {exposed[0]}")
    half = [key for key in ("KAGGLE_USERNAME", "KAGGLE_KEY") if os.environ.get(key)]
    if len(half) == 1 and not found:
        return Check(name, "FAIL", f"{half[0]} is set, the other of its pair is not", TOKEN)
    if not found and config.data.source == "openimages":
        return Check(name, "WARN", "no credentials: nothing can be sent, no sample submission be had", TOKEN)
    return Check(name, "OK", f"credentials in {found[0]}" if found else "no credentials, and none needed")


def hosts(config: Config, seconds: float = TIMEOUT) -> Iterator[Check]:
    """Whether the hosts of the data answer; all are asked at once, for so many seconds."""
    if config.data.source == "mini":
        return
    try:
        mirror = config.data.download.address()
    except KitError as error:
        yield Check("mirror", "FAIL", error.message, error.hint or "")
        return
    if mirror and not is_address(mirror):
        there = Path(mirror).is_dir()
        found = mirror if there else f"{mirror}: no such folder"
        yield Check(
            "mirror", "OK" if there else "FAIL", found, "" if there else "--set data.download.mirror=FOLDER"
        )
        return
    urls = [mirror] if mirror else [*_published(), KAGGLE]
    faults = answers_within(seconds, [partial(_fault, url, seconds) for url in urls])
    for url, fault in zip(urls, faults, strict=True):
        name = f"host {urlsplit(shown(url)).netloc}"
        if fault == "":
            yield Check(name, "OK", "answers")
        else:
            words = fault or f"no answer in {seconds:g} s"
            yield Check(name, "WARN", words, "connect to the network, or --set data.download.mirror=ADDRESS")


def _published() -> list[str]:
    """One address of every host that the registry names."""
    urls = [row["url"] for row in registry() if row["url"].startswith("https://")]
    return list({urlsplit(url).netloc: url for url in reversed(urls)}.values())


def _fault(url: str, seconds: float) -> str:
    """What keeps a host from answering; empty where it does, whatever it says of the address."""
    place = urlsplit(url)
    headers = {}
    if "@" in place.netloc:
        pair, _, host = place.netloc.rpartition("@")
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        place = place._replace(netloc=host)
    try:
        with urlopen(Request(urlunsplit(place), method="HEAD", headers=headers), timeout=seconds):
            return ""
    except HTTPError as error:
        with suppress(OSError):
            error.close()
        if error.code in ASKS_FOR_PASSWORD:
            return f"asks for a password (HTTP {error.code})"
        return f"HTTP {error.code}" if error.code >= 500 else ""
    except URLError as error:
        return _words(error.reason)
    except (OSError, HTTPException, ValueError) as error:
        return _words(error)


def _words(reason: object) -> str:
    if isinstance(reason, ssl.SSLError):
        return "its certificate is not trusted (a wrong clock? a proxy?)"
    if isinstance(reason, socket.gaierror):
        return "its name is not found"
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return first_line(reason) if isinstance(reason, BaseException) else str(reason)
