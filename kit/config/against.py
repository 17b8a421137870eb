"""A config beside what was published: which settings are the same, which are not, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from kit.base.errors import KitError, printable
from kit.config.load import Config
from kit.config.paper import PAPER
from kit.config.reference_setting import Setting

REFERENCES = {"paper": PAPER}  # by the name after --against


@dataclass(frozen=True)
class Comparison:
    """One setting: the paper's value and the config's, the paper's section, and the reason for a difference.

    reason: empty where none is known, as of a user's own change.
    """

    key: str
    paper: JsonValue
    config: JsonValue
    section: str
    same: bool
    reason: str = ""


def reference(name: str) -> tuple[Setting, ...]:
    """The settings of what a config is compared with. Raises KitError, naming what there is."""
    if name not in REFERENCES:
        raise KitError(
            f"--against {printable(name, 80)}: nothing to compare with", f"there is: {', '.join(REFERENCES)}"
        )
    return REFERENCES[name]


def compare(config: Config, settings: Sequence[Setting]) -> list[Comparison]:
    """Compare a config with each setting that it does anything by."""
    values = config.model_dump(mode="json")
    found = [setting for setting in settings if setting.applies(config)]
    return [_compared(config, setting, _value(values, setting.key.split("."))) for setting in found]


def value_text(value: JsonValue) -> str:
    """A value in a line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(value_text, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def _value(tree: Any, keys: Sequence[str]) -> JsonValue:
    """The value at a key, a list where * stands in it."""
    for i, key in enumerate(keys):
        if key == "*":
            return [_value(item, keys[i + 1 :]) for item in tree.values()]
        tree = tree[key]
    value: JsonValue = tree
    return value


def _compared(config: Config, setting: Setting, value: JsonValue) -> Comparison:
    seen = setting.seen(config, value) if setting.seen else value
    same = setting.same(seen) if setting.same else seen == setting.paper
    reasons = (r.words for r in setting.reasons if r.value == value_text(seen) and r.holds(config))
    reason = "" if same else next(reasons, "")
    return Comparison(setting.key, setting.paper, seen, setting.section, same, reason)
