"""Keys that got another name: the older one is read for one more release, with a warning that names the new one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kit.base.errors import KitError
from kit.base.log import warn_once


class Renamed(NamedTuple):
    """The new name, in the same table; convert: gives the new value of any older one."""

    name: str
    convert: Callable[[Any], Any] = lambda value: value


def _frozen(value: Any) -> Any:
    return value == "frozen" if value in ("tuned", "frozen") else value


TRAININGS = ("detector.training", "detector.source.training", "attribute.training")
OF_TRAINING = {
    "batch": "batch_size",
    "rate": "lr",
    "clip": "grad_clip_norm",
    "validate_pictures": "validate_images",
}
RENAMED = {  # dotted older key; * is any key of a table, or any item of a list
    "data.download.at_once": Renamed("concurrency"),
    "data.download.longest": Renamed("max_side"),
    "data.download.connect": Renamed("connect_timeout"),
    "data.download.read": Renamed("read_timeout"),
    "data.download.tries": Renamed("attempts"),
    "data.download.wait": Renamed("backoff"),
    **{f"{table}.{old}": Renamed(new) for table in TRAININGS for old, new in OF_TRAINING.items()},
    "detector.start": Renamed("initial_weights"),
    "detector.inference.batch": Renamed("batch_size"),
    "detector.inference.score": Renamed("score_threshold"),
    "detector.inference.per_image": Renamed("max_detections"),
    "detector.fusion.iou": Renamed("iou_threshold"),
    "detector.fusion.lowest": Renamed("skip_box_threshold"),
    "relation.combine": Renamed("scorer"),
    "relation.budget": Renamed("candidate_limits"),
    "relation.spatial.block": Renamed("early_stopping_interval"),
    "relation.spatial.start": Renamed("base_margin"),
    "relation.visual.batch": Renamed("batch_size"),
    "relation.visual.size": Renamed("crop_size"),
    "relation.visual.highest_rate": Renamed("max_lr"),
    "relation.visual.lowest_rate": Renamed("min_lr"),
    "relation.visual.trunk": Renamed("freeze_backbone", _frozen),
    "relation.stack.block": Renamed("early_stopping_interval"),
    "relation.stack.start": Renamed("base_margin"),
    "relation.stack.least": Renamed("min_positives"),
}
Patterns = Sequence[tuple[Sequence[str], Renamed]]


def rename_keys(values: Any, place: Callable[[Sequence[str]], str]) -> Any:
    """The values by their new keys; place: says where a key stands, for the warning.

    Raises KitError where a setting is given by both names.
    """
    return _renamed(values, [(key.split("."), new) for key, new in RENAMED.items()], (), place)


def _renamed(
    values: Any, patterns: Patterns, above: tuple[str, ...], place: Callable[[Sequence[str]], str]
) -> Any:
    if not patterns or not isinstance(values, (dict, list)):
        return values
    table = values if isinstance(values, dict) else dict(enumerate(values))
    result: dict[Any, Any] = {}
    for key, value in table.items():
        keys = (*above, str(key))
        inside = [(parts[1:], new) for parts, new in patterns if parts[0] in (key, "*")]
        new = next((new for parts, new in inside if not parts), None)
        if new is None:
            result[key] = _renamed(value, inside, keys, place)
            continue
        old_key, new_key = ".".join(keys), ".".join((*above, new.name))
        if new.name in table:
            raise KitError(
                f"{place(keys)}: {old_key} is the older name of {new_key}", "give the new one alone"
            )
        warn_once(f"{place(keys)}: {old_key} is now {new_key}; the older name is read for one more release")
        result[new.name] = new.convert(value)
    return result if isinstance(values, dict) else list(result.values())
