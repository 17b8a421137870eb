"""Addresses: what lies below one, and how it is shown without name, password and query."""

from __future__ import annotations

import re

MARK = "***"
# up to the last @ before the path; and where a password has a slash in it, so that no port follows the colon
_USER = re.compile(r"(?<=://)(?:[^\s/?#]{0,2000}@|[^\s/?#@:]{0,300}:(?!\d*(?:[\s/?#'\"]|$))[^\s]{0,300}@)")
_QUERY = re.compile(r"(://[^\s?'\"]{1,2000}\?)[^\s'\"]+")


def redacted(text: str) -> str:
    """The text with `***` for name and password, and for the query, of every address in it."""
    if "://" not in text:
        return text
    return _QUERY.sub(rf"\1{MARK}", _USER.sub(f"{MARK}@", text))


def shown(address: str) -> str:
    """One address (or folder) as it may be shown and stored; also one that has lost its `://`."""
    if "://" not in address and ":" in address and "@" in address:
        return f"{MARK}@{address.rpartition('@')[2]}"
    return redacted(address)


def is_address(url: str) -> bool:
    """Whether it is no folder or file of this machine."""
    return "://" in url


def below(url: str, name: str) -> str:
    """The address (or path) of a name below an address (or folder); a query stays behind it."""
    if not is_address(url):
        return f"{url.rstrip('/')}/{name}"
    place, mark, query = url.partition("?")
    return f"{place.rstrip('/')}/{name}{mark}{query}"
