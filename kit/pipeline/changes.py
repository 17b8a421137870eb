"""Why a stage is stale: what differs between two fingerprints, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

LONGEST = 40  # characters of a value in a reason
NONE = object()


def differences(before: dict[str, Any], now: dict[str, Any]) -> tuple[str, ...]:
    """What changed between two fingerprints of a stage: version, settings, inputs, needs; nothing where equal."""
    return tuple(_differences(before, now))


def _differences(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    if before.get("version") != now["version"]:
        yield f"version: {_shown(before.get('version'))} → {now['version']}"
    old, new = _flat(before.get("settings")), _flat(now["settings"])
    for key in dict.fromkeys([*old, *new]):
        if old.get(key, NONE) != new.get(key, NONE):
            yield f"settings: {key} {_shown(old.get(key, NONE))} → {_shown(new.get(key, NONE))}"
    yield from _inputs(before.get("inputs") or {}, now["inputs"])
    needed, needs = before.get("needs") or {}, now["needs"]
    for name in dict.fromkeys([*needed, *needs]):
        if name not in needs:
            yield f"{name} is needed no more"
        elif name not in needed:
            yield f"needs {name} now"
        elif needed[name] != needs[name]:
            yield f"{name} has another result"


def _inputs(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys([*before, *now]):
        if key not in now:
            yield f"{key} is read no more"
        elif key not in before:
            yield f"{key} is read now"
        elif before[key] != now[key]:
            yield f"{key}: {_change(before[key], now[key])}"


def _change(before: Any, now: Any) -> str:
    """What changed of a file or of images: their number, how they are read, or what is in them."""
    if not isinstance(before, dict) or not isinstance(now, dict):
        return "other content"
    if before.get("there") != now.get("there"):
        return f"{before.get('there')} → {now.get('there')} images"
    read = (k for k in dict.fromkeys([*before, *now]) if k not in ("wanted", "digest"))
    changed = (
        f"{k} {_shown(before.get(k, NONE))} → {_shown(now.get(k, NONE))}"
        for k in read
        if before.get(k) != now.get(k)
    )
    return next(changed, "other content")


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted keys."""
    if not isinstance(settings, dict) or not settings:
        return {prefix: settings} if prefix else {}
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _shown(value: Any) -> str:
    text = "(not set)" if value is NONE else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
