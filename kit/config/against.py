"""A config beside what was published: which settings are the same, which are not, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from kit.base.errors import KitError, printable
from kit.config.load import Config
from kit.config.paper import PAPER, Setting

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
    """Compare a config with each setting but those inside a table that the config sets to null."""
    values = config.model_dump(mode="json")
    found = [(setting, _value(values, setting.key.split("."))) for setting in settings]
    return [_compared(config, setting, *value) for setting, value in found if value]


def value_text(value: JsonValue) -> str:
    """A value in a line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(value_text, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def _value(tree: Any, keys: Sequence[str]) -> tuple[JsonValue] | None:
    """The value at a key, a list where * stands in it; None inside a table that is null."""
    if not keys:
        return (tree,)
    if tree is None:
        return None
    if keys[0] == "*":
        inside = [_value(item, keys[1:]) for item in tree.values()]
        return ([value[0] for value in inside if value],)
    return _value(tree[keys[0]], keys[1:])


def _compared(config: Config, setting: Setting, value: JsonValue) -> Comparison:
    seen = setting.seen(config, value) if setting.seen else value
    same = setting.same(seen) if setting.same else seen == setting.paper
    known = {**setting.reasons, **(setting.mini if config.data.source == "mini" else {})}
    reason = "" if same else known.get(value_text(seen), "")
    return Comparison(setting.key, setting.paper, seen, setting.section, same, reason)
