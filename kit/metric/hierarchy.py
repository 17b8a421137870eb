"""The class hierarchy of Open Images: expansion of boxes and image labels for the detection metric."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import FileFault


@dataclass(frozen=True)
class Hierarchy:
    """ancestors, descendants: per MID, all of them (itself excluded), the virtual root left out."""

    ancestors: dict[str, tuple[str, ...]]
    descendants: dict[str, tuple[str, ...]]

    def __contains__(self, mid: str) -> bool:
        return mid in self.ancestors


def read_hierarchy(path: Path | str) -> Hierarchy:
    """Read a hierarchy file: nested LabelName, Subcategory, Part. Raises FileFault where it is not one."""
    try:
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileFault(path, "no such file") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise FileFault(path, f"not a JSON file ({error})", line=getattr(error, "lineno", None)) from None
    ancestors: dict[str, dict[str, None]] = {}
    try:
        for child in tree["Subcategory"]:
            _walk(child, (), ancestors)
    except (KeyError, TypeError):
        raise FileFault(path, "not a class hierarchy: LabelName and Subcategory expected") from None
    descendants: dict[str, dict[str, None]] = {mid: {} for mid in ancestors}
    for mid, above in ancestors.items():
        for ancestor in above:
            descendants[ancestor][mid] = None
    return Hierarchy(
        {mid: tuple(above) for mid, above in ancestors.items()},
        {mid: tuple(below) for mid, below in descendants.items()},
    )


def _walk(node: dict[str, Any], above: tuple[str, ...], ancestors: dict[str, dict[str, None]]) -> None:
    mid = node["LabelName"]
    ancestors.setdefault(mid, {}).update(dict.fromkeys(above))
    for child in node.get("Subcategory", []):
        _walk(child, (*above, mid), ancestors)
