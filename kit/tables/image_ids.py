"""Image ids that should match and do not: how many, the first, and what was probably done to it.

Ids of Open Images are 16 hex digits; tables programs and loaders read some of them as numbers, drop zeros in
front, change case, or write a path instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kit.base.log import logger
from kit.tables.schema import Table

NUMERIC = ("its form of a number", "lost zeros in front")  # what reading ids as numbers does to them
NEITHER = "in neither truth nor labels and do not count"  # predictions in the metrics
SAMPLE = 100  # unmatched ids for which a partner is looked for
LONGEST = 80  # characters of an id in a message
DOUBLE = 17  # digits of an integer up to which a double may have taken its place
_PLAIN = re.compile(r"[0-9a-f]{16}")
_ENDING = re.compile(r"\.(jpe?g|png|bmp|gif|webp|tiff?)$", re.IGNORECASE)
_FLOAT = re.compile(r"[0-9]+\.[0-9]*(e[+-]?[0-9]+)?|[0-9]+e\+[0-9]+")
_POWER = re.compile(r"[0-9]+e[0-9]+")
_INTEGER = re.compile(r"[0-9]+")
_EDGES = " \t\r\n\"'\ufeff\xa0"


@dataclass(frozen=True)
class Unmatched:
    """Of `total` ids `count` are not among the known ones; `first` is one of them, in the order given.

    example, partner: an unmatched id and the known one that it would be but for `cause`; empty where none is
    found.
    """

    count: int
    total: int
    first: str
    example: str = ""
    partner: str = ""
    cause: str = ""

    @property
    def none_match(self) -> bool:
        """Whether no id is known."""
        return self.count == self.total

    def say(self, what: str, where: str) -> str:
        """One sentence: 12 of 340 `what` (3.5%) are `where`, the first X; and the cause."""
        text = f"{share(self.count, self.total, what)} are {where}, the first {shown(self.first)}"
        if not self.cause:
            return text
        why = f"it {self._would_be}" if self.example == self.first else self.why
        return f"{text}: {why}"

    @property
    def why(self) -> str:
        """X would be Y but for the cause; empty where none is found."""
        return f"{shown(self.example)} {self._would_be}" if self.cause else ""

    @property
    def _would_be(self) -> str:
        return f"would be {shown(self.partner)} but for {self.cause}"


def images_of(table: Table) -> list[str]:
    """The images that a table has rows of, in the order in which it numbers them."""
    return [table.images[i] for i in np.flatnonzero(np.bincount(table.image))]


def shown(name: str) -> str:
    """An id in a message: quoted where it has edges that one does not see, and cut."""
    plain = name == name.strip() and name.isprintable() and 0 < len(name) <= LONGEST
    return name if plain else repr(name[:LONGEST])


def share(count: int, total: int, what: str) -> str:
    """12 of 340 images (3.5%)."""
    return f"{count:,} of {total:,} {what} ({100 * count / max(total, 1):.1f}%)"


def unmatched(ids: Iterable[str], known: Collection[str]) -> Unmatched | None:
    """What of the distinct ids is not known; None where all are. known: best a set or a dictionary."""
    known = known if isinstance(known, (set, frozenset, dict)) else set(known)
    total, strange = 0, []
    for name in ids:
        total += 1
        if name not in known:
            strange.append(name)
    return explained(strange, total, known)


def explained(strange: Sequence[str], total: int, known: Iterable[str]) -> Unmatched | None:
    """What is to be said of so many of `total` ids that are not known; None where there is none."""
    if not strange:
        return None
    example, partner = _partner(strange[:SAMPLE], known)
    cause = _cause(example, partner) if example else ""
    return Unmatched(len(strange), total, strange[0], example, partner, cause)


def tell_strange_labels(files: Sequence[Path | str], images: Sequence[str], truth: Collection[str]) -> None:
    """Say where no image of the label files is in the truth: then no label adds to what is verified there.

    Some images of labels may well be without truth.
    """
    strange = unmatched(images, truth)
    if strange and strange.none_match:
        logger.warning(
            f"{', '.join(map(str, files))}: {strange.say('images of the labels', 'not in the truth')}"
        )


def _partner(strange: Sequence[str], known: Iterable[str]) -> tuple[str, str]:
    """The first unmatched id that some known id equals but for its form, and that known id."""
    wanted: dict[str, str] = {}
    for name in strange:
        wanted.setdefault(_reduced(name, _FOUND), name)
    wanted.pop("", None)
    hits: dict[str, str] = {}
    for name in known:
        for key in _keys(name):
            if key in wanted:
                hits[wanted[key]] = min(name, hits.get(wanted[key], name))
    return next(((name, hits[name]) for name in strange if name in hits), ("", ""))


def _keys(name: str) -> tuple[str, ...]:
    """What a known id is reduced to: as it stands, and as a number where it can be read as one."""
    if _PLAIN.fullmatch(name) and not _INTEGER.fullmatch(name) and not _POWER.fullmatch(name):
        return (name.lstrip("0"),)
    return (_reduced(name, _FOUND), _reduced(name, _KNOWN))


def _reduced(name: str, steps: Iterable[tuple[str, Callable[[str], str]]]) -> str:
    for _, step in steps:
        name = step(name)
    return name


def _cause(example: str, partner: str) -> str:
    """The steps without which the two would differ."""
    for own in (_FOUND, _KNOWN):
        if _reduced(example, _FOUND) == _reduced(partner, own):
            needed = []
            for i, (words, _) in enumerate(_FOUND):
                mine, theirs = (
                    _reduced(t, (*s[:i], *s[i + 1 :])) for t, s in ((example, _FOUND), (partner, own))
                )
                if mine != theirs:
                    needed.append(words)
            remedy = " (ids are text, not numbers)" if needed and needed[-1] in NUMERIC else ""
            return ", ".join(needed) + remedy
    return ""


def _number(name: str) -> str:
    """A number that was written as a float, as the integer that it stands for; other texts as they are."""
    if _FLOAT.fullmatch(name) or name in ("inf", "infinity"):
        return _integer(name)
    if _INTEGER.fullmatch(name) and len(name) <= DOUBLE:
        return _integer(name).zfill(len(name))
    return name


def _number_of_known(name: str) -> str:
    """What a loader that takes ids for numbers makes of a known one: 12e4567890123456 becomes infinity."""
    return _integer(name) if _POWER.fullmatch(name) else _number(name)


def _integer(name: str) -> str:
    value = float(name)
    return str(int(value)) if value < float("inf") else "inf"


def _steps(number: Callable[[str], str]) -> tuple[tuple[str, Callable[[str], str]], ...]:
    return (
        ("the spaces or quotes around it", lambda name: name.strip(_EDGES)),
        ("the folder in front of it", lambda name: re.split(r"[/\\]", name)[-1]),
        ("its file ending", lambda name: _ENDING.sub("", name)),
        ("upper and lower case", str.lower),
        (NUMERIC[0], number),
        (NUMERIC[1], lambda name: name.lstrip("0")),
    )


_FOUND = _steps(_number)
_KNOWN = _steps(_number_of_known)
