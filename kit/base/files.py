"""Atomic writes (a file is whole or not there), and reading back: what is damaged is one line."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import re
import shutil
import struct
import time
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from kit.base.errors import FULL, FileFault, KitError, first_line
from kit.base.parquet import read_parquet

T = TypeVar("T")
DAMAGE = (  # what the libraries' readers raise on bytes that are not theirs
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    pickle.PickleError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
TORCH = ("PytorchStreamWriter", "inline_container")  # in torch's own words for a write that failed
PART = re.compile(r"\..+\.(\d+)(?:x[0-9a-f]{8})?\.part")  # a name of `temporary_path`, and the process in it
OWN = os.urandom(
    4
).hex()  # another container's process may have the same number, and write into the same folder
STALE = 60.0  # seconds
LEAST_FREE = 1 << 20  # bytes; with less, a write that failed is put down to the disk


@contextmanager
def atomic_write(path: Path | str, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path`; what was written there takes its place on leaving without error.

    durable: it is on the disk before its name is. A device or a pipe is written directly. Raises KitError where
    the writing fails, whatever a library makes of that; nothing is left then.
    """
    path = Path(path)
    direct = path.exists() and not path.is_file() and not path.is_dir()
    part = path if direct else temporary_path(path)
    try:
        with writing(path, part):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            if not direct:
                if durable:
                    sync(part)
                part.replace(path)
                if durable:
                    sync(path.parent)
    finally:
        if not direct:
            with suppress(OSError):
                part.unlink()


def temporary_path(path: Path) -> Path:
    """Where this process writes what is to take a path's place."""
    return path.with_name(f".{path.name}.{os.getpid()}x{OWN}.part")


def remove_stale_parts(folder: Path) -> None:
    """Take away what writers that were killed have left in a folder.

    These are parts of `atomic_write` of a process that is there no more (another machine's may be: a part counts
    from a minute without a change on). What cannot be taken away stays.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            pid = PART.fullmatch(entry.name)
            if pid and not Path(f"/proc/{pid[1]}").exists():
                with suppress(OSError):
                    if abs(time.time() - entry.stat().st_mtime) > STALE:
                        os.unlink(entry)


@contextmanager
def writing(path: Path | str, part: Path | None = None) -> Iterator[None]:
    """Inside, a write that fails is one KitError that names `path` (where it is about `part`)."""
    try:
        yield
    except KitError:
        raise
    except Exception as error:
        cause = _os_error(error)
        if cause is None and not any(word in str(error) for word in TORCH):
            raise
        name = path if cause is None or cause.filename in (None, str(part)) else cause.filename
        why = (
            _why(Path(path), error)
            if cause is None
            else os.strerror(cause.errno)
            if cause.errno
            else str(cause)
        )
        raise KitError(f"{name}: cannot be written ({why})") from None


@contextmanager
def filling(folder: Path) -> Iterator[None]:
    """Inside, a library's write for which there is no room is one KitError that names the folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL or error.filename:
            raise
        with writing(folder):
            raise


def _os_error(error: BaseException | None) -> OSError | None:
    """The error of the operating system behind a library's own one."""
    while error is not None:
        if isinstance(error, OSError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _why(path: Path, error: Exception) -> str:
    with suppress(OSError):
        if shutil.disk_usage(path.parent).free < LEAST_FREE:
            return "No space left on device"
    return first_line(error)


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk before anything that comes after."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_below(folder: Path) -> None:
    """`sync` of everything below a folder, and of the folder."""
    for path in (*folder.rglob("*"), folder):
        if not path.is_symlink():
            sync(path)


@contextmanager
def open_compressed(part: Path, name: str) -> Iterator[IO[bytes]]:
    """Open `part` for bytes, packed as the final `name` ends: .gz, .zip or plain."""
    low = name.lower()
    if low.endswith(".zip"):
        inner = name[:-4] if low.endswith(".csv.zip") else f"{name[:-4]}.csv"
        with (
            zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
            archive.open(inner, "w", force_zip64=True) as file,
        ):
            yield file
    elif low.endswith(".gz"):
        with part.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
            yield cast(IO[bytes], file)
    else:
        with part.open("wb") as file:
            yield file


def write_text(path: Path | str, text: str) -> None:
    """Write a whole text file."""
    with atomic_write(path) as part:
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


@contextmanager
def reading(path: Path, what: str, hint: str = "") -> Iterator[None]:
    """Inside, a file that is gone, empty or damaged is a FileFault: not `what`; hint: how it is made again.

    A fault of this very file that has no hint gets this one.
    """
    try:
        yield
    except KitError as error:
        if not isinstance(error, FileFault) or error.hint or error.path != str(path):
            raise
        raise FileFault(path, error.problem, line=error.line, column=error.column, hint=hint) from None
    except FileNotFoundError:
        raise FileFault(path, "no such file", hint=hint) from None
    except (OSError, *DAMAGE) as error:
        why = (isinstance(error, OSError) and error.strerror) or first_line(error)
        with suppress(OSError):
            why = why if path.stat().st_size else "empty"
        raise FileFault(path, f"not {what} ({why})", hint=hint) from None


def read_text(path: Path, what: str, largest: int, hint: str = "") -> str:
    """The text of a file of at most so many bytes. Raises FileFault: not `what`, and why; hint: what to do."""
    try:
        if path.is_dir():
            raise FileFault(path, f"a folder, not {what}", hint=hint)
        with path.open("rb") as file:
            data = file.read(largest + 1)
        if len(data) > largest:
            limit = f"{largest >> 20} MB" if largest >> 20 else f"{largest >> 10} kB"
            raise FileFault(path, f"larger than {limit}: not {what}", hint=hint)
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise FileFault(path, "no such file", hint=hint) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileFault(path, f"not UTF-8 text, so not {what}", line=line, hint=hint) from None
    except (OSError, ValueError) as error:  # ValueError: no path can be so
        why = getattr(error, "strerror", None) or str(error)
        raise FileFault(path, f"cannot be read ({why})", hint=hint) from None


def read_json(path: Path, kind: type[T], hint: str = "") -> T:
    """The value of a JSON file. Raises FileFault where it is damaged, or its value of another kind."""
    with reading(path, "JSON", hint):
        value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, kind):
        problem = f"holds a {type(value).__name__}, not a {kind.__name__}"
        raise FileFault(path, problem, hint=hint)
    return value


def check(path: Path) -> None:
    """Read a file of a kind that tells of damage (JSON, .npz, Parquet). Raises FileFault where there is some."""
    if path.suffix == ".json":
        read_json(path, object)
    elif path.suffix == ".npz":
        with reading(path, "a .npz archive"), zipfile.ZipFile(path) as archive:
            if (broken := archive.testzip()) is not None:
                raise FileFault(path, f"{broken} in it is damaged")
    elif path.suffix == ".parquet":
        with reading(path, "a Parquet file"):
            read_parquet(path)
