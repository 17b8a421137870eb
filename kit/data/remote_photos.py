"""Folders of photos elsewhere: listed once by all processes that look at about the same time, and read."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kit.base.errors import KitError
from kit.base.files import read_json, write_json
from kit.base.log import logger
from kit.base.remote_place import address_of, cache_folder, is_below, local_name
from kit.base.store import PATIENT, Store
from kit.data.photo_cache import photo_cache

AGE = (
    20.0  # a listing serves as long as so many took: listing again costs a twentieth of the time at the most
)
AT_LEAST = 5.0  # seconds that it serves the process that made it
Files = dict[str, tuple[int, str]]  # bytes and tag by name below the folder


@dataclass(frozen=True)
class Listing:
    """The files of a folder, when that was asked (seconds since 1970), and how long the answer took."""

    files: Files
    taken: float
    seconds: float

    def serves(self, at_least: float = 0.0) -> bool:
        """Whether it is young enough."""
        return -1.0 <= time.time() - self.taken <= max(at_least, AGE * self.seconds)


_known: dict[Path, Listing] = {}


def remote_files(folder: Path, *, of_any_age: bool = False) -> Files:
    """The files below the folder whose local copy `folder` is.

    of_any_age: take what is known, to find a photo that the work has been given. Raises RemoteError.
    """
    known = _known.get(folder)
    if known is None or not (of_any_age or known.serves(AT_LEAST)):
        before = _kept(folder)
        known = before if before and (of_any_age or before.serves()) else _listed(folder, before)
        _known[folder] = known
    return known.files


def photo_bytes(path: Path) -> bytes | None:
    """The bytes of a photo of a folder elsewhere, by the path of its local copy; None where it is not there.

    Raises RemoteError where the store cannot be asked: that is no reason to leave a photo out.
    """
    address = address_of(path)
    assert address is not None
    folder, _, name = address.rpartition("/")
    return photo_cache().read(path, lambda: Store(folder, PATIENT).read(name), _size(path, address))


def _size(path: Path, address: str) -> int | None:
    """Bytes of a photo by the listing that this process knows; None where it knows none."""
    for folder in path.parents:
        listing = _known.get(folder)
        if listing is not None:
            size, _ = listing.files.get(address.removeprefix(f"{address_of(folder)}/"), (None, ""))
            return size
    return None


def _listed(folder: Path, before: Listing | None) -> Listing:
    """Ask the store; copies of what has changed since are forgotten."""
    address = address_of(folder)
    assert address is not None
    begun, clock = time.time(), time.monotonic()
    entries = Store(address).entries()
    found = {name: (entry.size, entry.tag) for name, entry in entries.items() if is_below(name)}
    listing = Listing(found, begun, time.monotonic() - clock)
    logger.debug(f"{address}: {len(found):,} files, listed in {listing.seconds:.1f} s")
    cache = photo_cache()
    for name, what in before.files.items() if before else ():
        if found.get(name) != what:
            cache.forget(folder / local_name(name))
    with suppress(KitError):  # it only saves time
        write_json(_memory(folder), vars(listing))
    return listing


def _kept(folder: Path) -> Listing | None:
    """What was listed last, by whichever process."""
    with suppress(KitError, KeyError, TypeError, ValueError):
        kept = read_json(_memory(folder), dict)
        files = {
            str(name): (int(size), str(tag)) for name, (size, tag) in kept["files"].items() if is_below(name)
        }
        return Listing(files, float(kept["taken"]), float(kept["seconds"]))
    return None


def _memory(folder: Path) -> Path:
    digest = hashlib.sha256(str(address_of(folder)).encode()).hexdigest()[:16]
    return cache_folder() / "listings" / f"{digest}.json"
