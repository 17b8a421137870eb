"""Objects in a folder elsewhere, by fsspec: whole or not there; what fails is tried again, then one line."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kit.base.errors import KitError, first_line
from kit.base.files import atomic_write
from kit.base.log import warn_once
from kit.base.retry import RemoteError, RetryPolicy, retry

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

T = TypeVar("T")
DRIVERS = {
    "s3": "kit[s3]",
    "s3a": "kit[s3]",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "hf": "huggingface_hub",
    "az": "adlfs",
}
HASTY = RetryPolicy(attempts=2)  # for a look; the drivers ask again by themselves, too
PATIENT = RetryPolicy(attempts=7, backoff=2.0)  # for what hours of work hang on
AT_ONCE = 8  # objects that are moved at a time
NO_BUCKET = ("bucket does not exist", "NoSuchBucket", "Repository Not Found")
SECRETS = {  # errors of the drivers where they have no credentials, by name
    *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound"),
    *("TokenRetrievalError", "DefaultCredentialsError", "LocalTokenNotFoundError"),
}
UNREACHED = ("Connect", "Timeout", "HTTPClientError", "ClientOSError", "ServerDisconnected", "IncompleteRead")
TIMES = ("LastModified", "updated", "last_modified", "mtime", "created")  # keys of the drivers' listings
TAGS = ("ETag", "etag", "blob_id", "md5Hash")
OURS = (TypeError, AttributeError, NameError, AssertionError)  # faults of code, which no user can mend


@dataclass(frozen=True)
class Entry:
    """What a listing says of an object: bytes, a tag that is another one once it is written anew, when it was."""

    size: int
    tag: str
    modified: datetime | None


@dataclass(frozen=True)
class Store:
    """The objects below an address, by names with / in them.

    Every call raises RemoteError where the store is not there, refuses, or cannot be reached after some tries.
    """

    address: str
    policy: RetryPolicy = HASTY

    def read(self, name: str) -> bytes | None:
        """The bytes of an object; None where it is not there."""
        return self._call(lambda fs, root: bytes(fs.cat_file(f"{root}/{name}")), name, gone=True)

    def write(self, name: str, data: bytes) -> None:
        """Write an object whole."""
        self._call(lambda fs, root: fs.pipe_file(f"{root}/{name}", data), name)

    def excludes(self) -> bool:
        """Whether the driver has a way of its own to `create`; fsspec's looks first and writes then."""

        def has(fs: AbstractFileSystem, _root: str) -> bool:
            from fsspec import AbstractFileSystem

            return getattr(fs.pipe_file, "__func__", None) is not AbstractFileSystem.pipe_file

        return bool(self._call(has, ""))

    def create(self, name: str, data: bytes) -> bool:
        """Write an object where there is none by the name; False where there is one."""

        def make(fs: AbstractFileSystem, root: str) -> bool:
            try:
                fs.pipe_file(f"{root}/{name}", data, mode="create")
            except FileExistsError:
                return False
            return True

        return bool(self._call(make, name))

    def upload(self, files: Mapping[str, Path]) -> None:
        """Copy files into objects, several at a time."""
        self._each(files, lambda name: self._put(name, files[name]))

    def download(self, files: Mapping[str, Path]) -> list[str]:
        """Copy objects into files, each whole or not at all; the names of those that are not there."""
        gone: list[str] = []

        def get(name: str) -> None:
            with atomic_write(files[name]) as part:
                found = self._call(lambda fs, root: _get(fs, f"{root}/{name}", part), name, gone=True)
                if found is None:
                    gone.append(name)
                    part.touch()
            if found is None:
                files[name].unlink()

        self._each(files, get)
        return sorted(gone)

    def entries(self, below: str = "") -> dict[str, Entry]:
        """All objects below a name, by their names below the address."""

        def find(fs: AbstractFileSystem, root: str) -> dict[str, Entry]:
            found = fs.find(f"{root}/{below}" if below else root, detail=True)
            return {path[len(root) + 1 :]: _entry(info) for path, info in found.items()}

        return self._call(find, below, gone=True) or {}

    def folders(self) -> list[str]:
        """The names of the folders directly below the address."""

        def find(fs: AbstractFileSystem, root: str) -> list[str]:
            infos = fs.ls(root, detail=True)
            return sorted(i["name"].rstrip("/").rpartition("/")[2] for i in infos if i["type"] == "directory")

        return self._call(find, "", gone=True) or []

    def remove(self, names: Collection[str]) -> None:
        """Remove objects, those that are there."""

        def remove(fs: AbstractFileSystem, path: str) -> None:
            with suppress(FileNotFoundError):
                fs.rm_file(path)

        self._each(names, lambda name: self._call(lambda fs, root: remove(fs, f"{root}/{name}"), name))

    def _put(self, name: str, path: Path) -> None:
        self._call(lambda fs, root: fs.put_file(str(path), f"{root}/{name}"), name)

    def _each(self, names: Collection[str], work: Callable[[str], object]) -> None:
        with ThreadPoolExecutor(min(AT_ONCE, max(1, len(names)))) as pool:
            list(pool.map(work, names))

    def _call(
        self, work: Callable[[AbstractFileSystem, str], T], name: str, *, gone: bool = False
    ) -> T | None:
        """What a call gives, tried again where that may help; gone: None for what is not there."""
        where = f"{self.address}/{name}" if name else self.address

        def attempt() -> T | None:
            try:
                return work(*self._opened())
            except (KitError, *OURS):
                raise
            except FileNotFoundError as error:
                if any(words in str(error) for words in NO_BUCKET):
                    raise RemoteError(
                        f"{where}: no such bucket", "make it, or give another address"
                    ) from None
                if gone:
                    return None
                raise RemoteError(f"{where}: not there ({first_line(error)})") from None
            except Exception as error:  # each driver has its own
                raise _fault(where, error) from None

        def say(error: RemoteError, seconds: float) -> None:
            warn_once(f"{error.message}; asked again in {seconds:.0f} s")

        return retry(attempt, self.policy, say, time.sleep)

    def _opened(self) -> tuple[AbstractFileSystem, str]:
        """The file system and the path in it; fsspec keeps one a process, also after a fork."""
        protocol = self.address.partition("://")[0]
        try:
            import fsspec

            fs, root = fsspec.url_to_fs(self.address, use_listings_cache=False)
        except ImportError as error:
            need = DRIVERS.get(protocol, "its fsspec driver")
            hint = f"pip install '{need}'"
            raise KitError(
                f"{self.address}: {protocol}:// needs {need} ({first_line(error)})", hint
            ) from None
        except ValueError as error:
            raise KitError(
                f"{self.address}: {first_line(error)}", "give an address as fsspec knows it"
            ) from None
        return fs, root.rstrip("/")


def _get(fs: AbstractFileSystem, path: str, part: Path) -> bool:
    fs.get_file(path, str(part))
    return True


def _entry(info: Mapping[str, Any]) -> Entry:
    """From a driver's own words; each has other keys."""
    when = next((info[key] for key in TIMES if info.get(key)), None)
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    elif isinstance(when, (int, float)):
        when = datetime.fromtimestamp(when, UTC)
    tag = next((info[key] for key in TAGS if info.get(key)), when)
    return Entry(int(info["size"] or 0), str(tag), when if isinstance(when, datetime) else None)


def _fault(where: str, error: Exception) -> RemoteError:
    """One line for what a driver raised."""
    kind, text = type(error).__name__, first_line(error)
    if isinstance(error, PermissionError):
        return RemoteError(
            f"{where}: no permission ({text})", "check the store's credentials, and what they allow"
        )
    if kind in SECRETS:
        return RemoteError(f"{where}: no credentials ({text})", "set them as the store's tools take them")
    if isinstance(error, NotImplementedError):
        return RemoteError(f"{where}: this store cannot do it ({text})")
    if isinstance(error, (OSError, TimeoutError)) or any(word in kind for word in UNREACHED):
        hint = "check the network and the store's endpoint; what is finished is kept"
        return RemoteError(f"{where}: cannot be reached ({text})", hint, retryable=True)
    return RemoteError(f"{where}: {kind}: {text}")
