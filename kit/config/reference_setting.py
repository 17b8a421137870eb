"""A setting that a paper names: when a config's is the same, which configs it concerns, why one may differ."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import JsonValue

if TYPE_CHECKING:
    from kit.config.load import Config

Same = Callable[[Any], bool]
ARCHITECTURE = "detector.models.*.architecture"
OF_DETECTORS = ("detector.", "attribute.", "relation.visual.")


def always(_: Config) -> bool:
    """Any config."""
    return True


def is_mini(config: Config) -> bool:
    """A config of the mini challenge."""
    return config.data.source == "mini"


def without_detectors(config: Config) -> bool:
    """A config for relations on annotations alone."""
    return not config.detector.models


class Reason(NamedTuple):
    """Why a config may have another value than the paper: the value's text, words, for which configs they hold."""

    value: str
    words: str
    holds: Callable[[Config], bool] = always


class Setting(NamedTuple):
    """One thing that a paper says: the dotted key (* is every one of a table), its value or words, its section.

    same: whether a config's value is what the paper says, default: equal to it. reasons: for different ones.
    seen: what a config does by this setting, from the config and its value, where that is not the value.
    """

    key: str
    paper: JsonValue
    section: str
    same: Same | None = None
    reasons: tuple[Reason, ...] = ()
    seen: Callable[[Config, Any], JsonValue] | None = None

    def applies(self, config: Config) -> bool:
        """Whether a config does anything by it: without detectors it has no views and no visual model to set."""
        if without_detectors(config):
            return self.key == ARCHITECTURE or not self.key.startswith(OF_DETECTORS)
        return config.relation.visual is not None or not self.key.startswith("relation.visual.")


def anything(_: Any) -> bool:
    """Any value: the paper names both."""
    return True


def never(_: Any) -> bool:
    """No value: no setting does what the paper says."""
    return False


def one(values: list[Any]) -> bool:
    """A list of one."""
    return len(values) == 1


def several(values: list[Any]) -> bool:
    """A list of two or more."""
    return len(set(values)) > 1


def between(low: float, high: float) -> Same:
    """A number from low to high."""
    return lambda value: value is not None and low <= value <= high


def above(low: float) -> Same:
    """A number above low."""
    return lambda value: value > low


def one_of(*values: JsonValue) -> Same:
    """One of some values."""
    return lambda value: value in values


def file(name: str) -> Same:
    """The one file of this name."""
    return lambda names: names in (name, [name])


def like(pattern: str) -> Same:
    """A text of a pattern in small letters."""
    return lambda value: value is not None and fnmatch(value.lower(), pattern)


def each_like(*patterns: str) -> Same:
    """Texts: each of one of the patterns, and one at least of every pattern."""
    return lambda values: (
        all(any(like(pattern)(value) for pattern in patterns) for value in values)
        and all(any(like(pattern)(value) for value in values) for pattern in patterns)
    )
