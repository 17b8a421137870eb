"""Files that are whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import gzip
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from kit.errors import KitError


@contextmanager
def whole(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path`; what was written there takes its place on leaving without error."""
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except OSError as error:
        raise KitError(f"{error.filename or path}: cannot be written ({error.strerror or error})") from None
    finally:
        with suppress(OSError):
            part.unlink()


@contextmanager
def packed(part: Path, name: str) -> Iterator[IO[bytes]]:
    """Open `part` for bytes, packed as the final `name` ends: .gz, .zip or plain."""
    if name.endswith(".zip"):
        with (
            zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
            archive.open(
                name.removesuffix(".zip").removesuffix(".csv") + ".csv", "w", force_zip64=True
            ) as file,
        ):
            yield file
    elif name.endswith(".gz"):
        with part.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
            yield cast(IO[bytes], file)
    else:
        with part.open("wb") as file:
            yield file


def write_text(path: Path | str, text: str) -> None:
    """Write a whole text file."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write a whole JSON file, NaN as null."""
    write_text(path, json_text(value) + "\n")


def json_text(value: Any) -> str:
    """JSON with sorted keys as given, NaN and infinity as null."""
    return json.dumps(_finite(value), indent=1, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
