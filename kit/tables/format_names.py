"""The forms of detections, by name, and how their files end."""

from __future__ import annotations

from typing import Literal, get_args

Format = Literal["openimages", "coco", "yolo", "kaggle"]
FORMATS: tuple[Format, ...] = get_args(Format)
ENDINGS: dict[Format, tuple[str, ...]] = {  # of the files that are written; a folder has none
    "openimages": (".csv", ".csv.gz", ".zip"),
    "coco": (".json", ".json.gz"),
    "yolo": (),
    "kaggle": (".csv", ".csv.gz", ".zip"),
}
