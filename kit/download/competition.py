"""A file of the competition's own data, by Kaggle's client: behind a log-in and accepted rules."""

from __future__ import annotations

import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from kit.errors import KitError
from kit.kaggle.client import Client
from kit.kaggle.faults import KaggleError
from kit.patience import Patience
from kit.tables.official import read_image_ids

SCHEME = "kaggle://"


def fetch_sample(url: str, path: Path, patience: Patience) -> None:
    """Put the sample submission `kaggle://COMPETITION/NAME` in place once it is whole. Raises KitError.

    The client saves a web page, or an error's text, as if it were the file: what came is read before it counts.
    """
    competition, _, name = url.removeprefix(SCHEME).partition("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        came = _unpacked(Client(competition, patience).download(name, Path(folder)))
        try:
            read_image_ids(came)
        except KitError as error:
            with came.open("rb") as file:
                page = file.read(100).lstrip().startswith(b"<")
            why = f"{name}: a web page came instead" if page else error.message.replace(str(came), name)
            raise KaggleError(why, "try again") from None
        came.replace(path)


def _unpacked(path: Path) -> Path:
    """The file, out of the zip that Kaggle may have put it into."""
    if not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len(names) != 1 or archive.testzip() is not None:
            raise KaggleError(f"{path.name}: not a zip of one whole file", "try again")
        target = path.with_name("unpacked")
        with archive.open(names[0]) as inner, target.open("wb") as outer:
            while block := inner.read(1 << 20):
                outer.write(block)
    return target
