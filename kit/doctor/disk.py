"""Free disk against what the config still has to write: its data, and the results of its run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit.base.remote_place import address_of
from kit.base.split_names import SPLITS, SplitName
from kit.config import Config, Mini
from kit.data.mini import is_built
from kit.data.photos import photo_names
from kit.doctor.check import Check
from kit.download.remote import remotes
from kit.download.selection import PHOTO_BYTES
from kit.rehearsal.made_tables import SIZES

GB = 1e9
SPARE = 1.2  # times what is needed, below which it is close
BYTES_A_PIXEL = 0.3  # of an image of the mini challenge, with its tables


def disk_check(config: Config, run: Path, rehearsed: dict[str, Any]) -> Check:
    """Free space where data and run lie. rehearsed: what `kit rehearse` found, empty where it never ran."""
    results = rehearsed.get("disk", 0.0)
    places: dict[int, tuple[Path, float]] = {}
    for folder, size in ((config.data.root, data_bytes(config)), (run, results)):
        there = _existing(folder)
        device = there.stat().st_dev
        places[device] = (there, places.get(device, (there, 0.0))[1] + size)
    found = [(there, shutil.disk_usage(there).free, needed) for there, needed in places.values()]
    words = "; ".join(
        f"{free / GB:,.1f} GB free at {p}, {n / GB:,.1f} GB at most to come" for p, free, n in found
    )
    if not rehearsed:
        words += " (without the run's results: `kit rehearse` measures them)"
    if any(free < needed for _, free, needed in found):
        return Check("disk", "FAIL", words, "--set data.root=FOLDER on a larger disk")
    if any(free < SPARE * needed for _, free, needed in found):
        return Check("disk", "WARN", words, "free some space, or --set data.root=FOLDER on a larger disk")
    return Check("disk", "OK", words)


def data_bytes(config: Config) -> float:
    """Bytes of the data that are not there yet, about."""
    if config.data.source == "mini":
        return 0.0 if is_built(config.data.root, config.data.mini) else mini_bytes(config.data.mini)
    files = [r for kind in ("annotations", "weights") for r in remotes(kind, config.data.root)]
    return sum(r.size or 0 for r in files if not r.path.exists()) + sum(_photo_bytes(config))


def mini_bytes(mini: Mini) -> float:
    """Bytes of the generated challenge."""
    images = mini.train + mini.stack + mini.val + mini.test + mini.source
    return images * mini.side**2 * BYTES_A_PIXEL


def _photo_bytes(config: Config) -> Iterator[float]:
    """Of the photos that each split lacks, by Open Images' number of images with boxes."""
    for split in SPLITS:
        folder = getattr(config.data, split).images
        if folder is not None and address_of(folder) is None and _is_used(config, split):
            there = len(photo_names(folder)) if folder.is_dir() else 0
            yield max(0, SIZES[split].images - there) * PHOTO_BYTES


def _is_used(config: Config, split: SplitName) -> bool:
    return bool(config.data.test.ids if split == "test" else getattr(config.data, split).relations)


def _existing(folder: Path) -> Path:
    return next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
