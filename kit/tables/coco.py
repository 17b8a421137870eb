"""COCO instances files in: pictures, boxes and class names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from kit.errors import FileFault
from kit.tables.schema import Boxes


def read_instances(path: Path) -> tuple[Boxes, tuple[str, ...]]:
    """Boxes (normalised; image ids are file names without ending, crowds are group-of) and class names.

    Labels index the names in the order of the file's category ids. Raises FileFault.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        categories = sorted(content["categories"], key=lambda c: c["id"])
        images = {image["id"]: (i, image) for i, image in enumerate(content["images"])}
        label = {category["id"]: k for k, category in enumerate(categories)}
        rows = [_row(images, label, a) for a in content["annotations"]]
        names = tuple(Path(image["file_name"]).stem for _, image in images.values())
        classes = tuple(str(category["name"]) for category in categories)
    except FileNotFoundError:
        raise FileFault(path, "no such file") from None
    except KeyError as error:
        raise FileFault(path, f"not a COCO instances file: {error} is missing or not defined") from None
    except (OSError, ValueError, TypeError, ZeroDivisionError) as error:
        raise FileFault(path, f"not a COCO instances file ({error})") from None
    rows = [row for row in rows if row[2] < row[4] and row[3] < row[5]]
    columns = np.asarray(rows, np.float64).reshape(-1, 7)
    image, kind = columns[:, 0].astype(np.int32), columns[:, 1].astype(np.uint8)
    return Boxes(names, image, kind, columns[:, 2:6].astype(np.float32), columns[:, 6] > 0), classes


def _row(images: dict[Any, Any], label: dict[Any, int], annotation: dict[str, Any]) -> tuple[float, ...]:
    number, image = images[annotation["image_id"]]
    wide, high = float(image["width"]), float(image["height"])
    x, y, w, h = (float(v) for v in annotation["bbox"])
    corners = (x / wide, y / high, (x + w) / wide, (y + h) / high)
    clipped = (min(max(c, 0.0), 1.0) for c in corners)
    return (number, label[annotation["category_id"]], *clipped, float(annotation.get("iscrowd", 0)))
