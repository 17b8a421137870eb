"""A file of the competition's own data, by Kaggle's client: behind a log-in and accepted rules."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

from kit.base.errors import KitError
from kit.base.files import atomic_write, writing
from kit.base.retry import RetryPolicy
from kit.download.remote import RemoteFile
from kit.kaggle.client import Client
from kit.kaggle.client_errors import KaggleError
from kit.tables.image_lists import image_id_array

SCHEME = "kaggle://"
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    struct.error,
    RuntimeError,
)
MAX_BYTES = 1 << 30  # of the file in a zip


def fetch_sample(remote: RemoteFile, policy: RetryPolicy) -> None:
    """Put the sample submission `kaggle://COMPETITION/NAME` in place once it is whole. Raises KitError.

    The client saves a web page, or an error's text, as if it were the file: what came is read before it counts.
    """
    competition, _, name = remote.url.removeprefix(SCHEME).partition("/")
    path = remote.path
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent)
    with folder:
        received = Client(competition, policy).download(name, Path(folder.name))
        try:
            received = _unpacked(received)
        except ZIP_ERRORS:
            raise KaggleError(f"{name}: the zip that came is not whole", "try again") from None
        except OSError as error:
            raise KitError(f"{path}: cannot be written ({error.strerror})") from None
        try:
            rows = len(image_id_array(received))
            if remote.rows not in (None, rows):
                raise KitError(f"{name}: {rows:,} rows came instead of {remote.rows:,}")
        except KitError as error:
            with received.open("rb") as file:
                page = file.read(100).lstrip().startswith(b"<")
            why = f"{name}: a web page came instead" if page else error.message.replace(str(received), name)
            raise KaggleError(why, "try again") from None
        with atomic_write(path) as part:
            received.replace(part)


def _unpacked(path: Path) -> Path:
    """The file, out of the zip that Kaggle may have put it into."""
    if not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len(names) != 1:
            raise KaggleError(f"{path.name}: a zip of {len(names)} files came instead of one", "try again")
        target = path.with_name("unpacked")
        with archive.open(names[0]) as inner, target.open("wb") as outer:
            while block := inner.read(1 << 20):
                outer.write(block)
                if outer.tell() > MAX_BYTES:
                    raise KaggleError(
                        f"{path.name}: a zip of more than {MAX_BYTES >> 20} MB came", "try again"
                    )
    return target
