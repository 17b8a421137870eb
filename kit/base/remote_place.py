"""Folders elsewhere (s3://, gs://, hf://): each has a local copy whose path tells the address, and the other way.

Below KIT_CACHE, by default `~/.cache/kit`: what is kept there, the protocol, then the address part by part. So
whatever has the path of a copy, also another process, knows where it comes from.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from kit.base.address import is_address, redacted
from kit.base.errors import KitError

CACHE = "KIT_CACHE"  # of the environment: the folder of the copies
Kept = Literal["runs", "photos"]
_LOCAL = ("file", "local")
_PROTOCOL = re.compile(r"[a-z][a-z0-9+.-]*")
_PLAIN = "=+,@"  # besides letters, digits and _.-~: characters of an address that a folder's name may have


def cache_folder() -> Path:
    """Where local copies lie."""
    return Path(_root(os.environ.get(CACHE), os.environ.get("XDG_CACHE_HOME")))


def cache_limit(variable: str, default: float) -> int:
    """Bytes that a kind of copies may take together. variable: of the environment, in GiB; default: GiB.

    Raises KitError where it is no number.
    """
    text = os.environ.get(variable) or str(default)
    try:
        limit = float(text)
        if not 0 <= limit < float("inf"):
            raise ValueError
    except ValueError:
        raise KitError(
            f"{variable}={text}: not a number of GiB", f"give one such as {default:g}, or 0 to keep none"
        ) from None
    return int(limit * (1 << 30))


@lru_cache
def _root(given: str | None, caches: str | None) -> str:
    return os.path.abspath(os.path.expanduser(given or os.path.join(caches or "~/.cache", "kit")))


def local_place(text: str, kept: Kept) -> Path:
    """The path of a folder that a user names: that of the local copy where it is an address.

    Raises KitError for what is no address of a folder, or has secrets in it.
    """
    if not is_address(text):
        return Path(text)
    protocol, _, rest = text.partition("://")
    if redacted(text) != text:
        hint = "give them as its tools take them: by the environment, or their own files"
        raise KitError(f"{text}: name, password or query in the address of a store", hint)
    if protocol in _LOCAL:
        return Path(rest)
    parts = rest.rstrip("/").split("/")
    if not _PROTOCOL.fullmatch(protocol) or not is_below("/".join(parts)):
        raise KitError(f"{text}: not the address of a folder", "write it as s3://bucket/folder")
    return cache_folder() / kept / protocol / local_name("/".join(parts))


def is_below(name: str) -> bool:
    """Whether the name of something elsewhere leads below the folder here: no part of it is empty or dot-led."""
    return "\0" not in name and all(part[:1] not in ("", ".") for part in name.split("/"))


def local_name(name: str) -> str:
    """What a file or folder elsewhere is called in the local copy of the one above it."""
    return quote(name, safe=f"/{_PLAIN}")


def address_of(path: Path) -> str | None:
    """The address whose local copy a path is; None for a folder of this machine, such as a hidden one in a copy."""
    root = _root(os.environ.get(CACHE), os.environ.get("XDG_CACHE_HOME"))
    text = os.path.abspath(path)  # asked for every photo that is read
    if not text.startswith(f"{root}{os.sep}"):
        return None
    kept, *parts = text[len(root) + 1 :].split(os.sep)
    if kept not in ("runs", "photos") or len(parts) < 2 or any(part.startswith(".") for part in parts):
        return None
    return f"{parts[0]}://{'/'.join(map(unquote, parts[1:]))}"


def shown_place(path: Path) -> str:
    """A folder as the user named it."""
    return address_of(path) or str(path)
