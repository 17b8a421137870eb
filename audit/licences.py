"""The licence of every locked package, from its installed metadata, and which of them are refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from audit.lock import LockedPackage

LONGEST = 80  # characters: a longer text in the field License is the licence itself, not its name


@dataclass(frozen=True)
class Licence:
    """What a package's metadata names as its licence: a text to show, and every name that it gives.

    `alternatives` are the choices that it leaves, each by the names that bind together; none: it names no licence.
    """

    name: str
    version: str
    text: str
    alternatives: tuple[str, ...]
    marker: str = ""
    installed: bool = True

    @property
    def unknown(self) -> bool:
        """Installed, but silent about its licence."""
        return self.installed and not self.alternatives


@dataclass(frozen=True)
class Policy:
    """Patterns of refused licences, and packages that are taken all the same, each with its reason."""

    refused: Sequence[str]
    accepted: Mapping[str, str]

    def refuses(self, licence: Licence) -> bool:
        """Whether every choice that the package leaves names a refused licence, and no reason accepts it."""
        if licence.name in self.accepted or not licence.alternatives:
            return False
        pattern = re.compile("|".join(self.refused), re.IGNORECASE)
        return bool(self.refused) and all(pattern.search(choice) for choice in licence.alternatives)


def licence_list(packages: Iterable[LockedPackage]) -> list[Licence]:
    """A licence a locked package, in the lock's order; one of another version is not the locked one's."""
    return [_licence(package) for package in packages]


def _licence(package: LockedPackage) -> Licence:
    absent = Licence(package.name, package.version, "not installed here", (), package.marker, installed=False)
    try:
        found = metadata.distribution(package.name)
    except metadata.PackageNotFoundError:
        return absent
    if found.version != package.version:
        return absent
    text, alternatives = named_licences(found.metadata)
    return Licence(package.name, package.version, text, alternatives, package.marker)


def named_licences(fields: metadata.PackageMetadata) -> tuple[str, tuple[str, ...]]:
    """A text to show and the choices it leaves.

    Only an SPDX expression says that a user may choose (OR outside brackets). Of the older fields, License and the
    classifiers, every name binds: they do not say which of several may be left out.
    """
    if "License-Expression" in fields:
        expression = fields["License-Expression"]
        return expression, (expression,) if "(" in expression else tuple(expression.split(" OR "))
    classifiers = fields.get_all("Classifier") or []
    names = [c.rsplit(" :: ", 1)[-1] for c in classifiers if c.startswith("License ::")]
    own = fields["License"].strip() if "License" in fields else ""
    if own.upper() == "UNKNOWN":
        own = ""
    first = next((line.strip() for line in own.splitlines() if line.strip(" =")), "")
    if own and (len(own) <= LONGEST or not names):
        names.insert(0, first[:LONGEST])
    text = "; ".join(dict.fromkeys(names))
    return text or "unknown", (text,) if text else ()
