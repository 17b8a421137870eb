"""Locks between machines, in a store: objects that are written only where there is none, and age.

A lock is a row of generations, `locks/NAME/000000001` and on; the highest counts, and whoever writes the next one
first has it. A holder writes its own anew all the time; one that has not been for long is passed by, so that a
killed holder blocks nobody for ever. Ages are by the store's own clock, told by an object written at the time.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import threading
import time
from contextlib import suppress
from types import TracebackType

from kit.base.errors import KitError
from kit.base.locks import LockedError
from kit.base.log import logger, warn_once
from kit.base.store import Store

SWITCH = "KIT_REMOTE_LOCKS"  # of the environment: `off` goes on without
LOCKS = "locks"
EXPIRY = 120.0  # seconds without a sign of life, after which a lock is free


class Lease:
    """The lock of a name in a store, held while inside; by an owner, whose own older ones are passed by at once.

    Raises LockedError where another owner holds it, KitError where the store cannot keep locks.
    """

    def __init__(self, store: Store, name: str, owner: str, expiry: float = EXPIRY) -> None:
        """owner: text that no other machine has."""
        self.store, self.name, self.expiry = store, name, expiry
        self.off = os.environ.get(SWITCH) == "off"
        self._words = {"owner": owner, "host": platform.node(), "attempt": secrets.token_hex(8)}
        self._number = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"lease {name}", daemon=True)
        self._alive = 0.0

    def __enter__(self) -> Lease:
        if self.off:
            warn_once(f"note: {SWITCH}=off: nothing keeps two kits from making {self.name} at once")
            return self
        now = self._now()
        self._number = self._take(now)
        self._alive = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.off:
            self._over.set()
            self._thread.join()
            with suppress(KitError):  # it ages
                if self._newest() == self._number:
                    self._write(held=False)

    def check(self) -> None:
        """Raise KitError where the lock has gone to another since, or may have."""
        if self.off:
            return
        late = time.monotonic() - self._alive > self.expiry
        if late or self._newest() != self._number:
            why = "no sign of life reached the store for too long" if late else "another kit has it"
            raise KitError(f"{self.store.address}: the lock of {self.name} is lost ({why})", "run it again")

    def _take(self, now: float) -> int:
        """Write the next generation; its number. now: of the store."""
        entries = self.store.entries(f"{LOCKS}/{self.name}")
        newest = max(entries, default=None)
        number = 1
        if newest is not None:
            holder, written = self._holder(newest), entries[newest].modified
            age = now - written.timestamp() if written else 0.0
            if holder.get("held") and holder.get("owner") != self._words["owner"] and age < self.expiry:
                self._refuse(holder)
            if holder.get("held") and holder.get("owner") != self._words["owner"]:
                logger.warning(
                    f"the lock of {self.name} was left by a kit on {holder.get('host')}; taken over"
                )
            number = int(newest.rpartition("/")[2]) + 1
        self._number = number
        made = self.store.create(self._object(), self._data(held=True))
        if not made and self._holder(self._object()).get("attempt") != self._words["attempt"]:
            self._refuse(self._holder(self._object()))
        if self._newest() != number:  # an older one than others have had since
            self.store.remove([self._object()])
            self._refuse({})
        self.store.remove([name for name in entries if name < self._object()])
        return number

    def _refuse(self, holder: dict[str, object]) -> None:
        host = f" on {holder['host']}" if "host" in holder else ""
        hint = f"wait; one that was killed lets go after {self.expiry:.0f} s"
        raise LockedError(f"{self.store.address}: another kit{host} is at work on {self.name}", hint)

    def _now(self) -> float:
        """The store's time, in seconds. Raises KitError where it lets two write what only one may."""
        probe = f"{LOCKS}/.probe-{self._words['attempt']}"
        try:
            self.store.create(probe, b"")
            excludes = self.store.excludes() and not self.store.create(probe, b"")
            now = self.store.entries(probe)[probe].modified
        finally:
            with suppress(KitError):
                self.store.remove([probe])
        if not excludes or now is None:
            hint = f"run one kit at a time with {SWITCH}=off, or take a store with conditional writes"
            raise KitError(f"{self.store.address}: this store cannot keep locks", hint)
        return now.timestamp()

    def _live(self) -> None:
        """Write the lock anew again and again, as long as it is the newest."""
        while not self._over.wait(self.expiry / 4):
            with suppress(KitError):  # once it fails for too long `check` tells
                if self._newest() != self._number:
                    self._alive = float("-inf")
                    return
                begun = time.monotonic()
                self._write(held=True)
                self._alive = begun

    def _newest(self) -> int:
        names = self.store.entries(f"{LOCKS}/{self.name}")
        return max((int(name.rpartition("/")[2]) for name in names), default=0)

    def _holder(self, name: str) -> dict[str, object]:
        with suppress(ValueError):
            words = json.loads(self.store.read(name) or b"{}")
            if isinstance(words, dict):
                return words
        return {}

    def _write(self, held: bool) -> None:
        self.store.write(self._object(), self._data(held))

    def _data(self, held: bool) -> bytes:
        return json.dumps({**self._words, "held": held}).encode()

    def _object(self) -> str:
        return f"{LOCKS}/{self.name}/{self._number:09}"
