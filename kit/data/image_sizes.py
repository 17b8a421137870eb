"""The sizes of the images below a folder, each looked up in its file when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

from kit.base.errors import FileFault
from kit.base.remote_place import address_of, local_name
from kit.config import Decoding
from kit.data.image_header import UnreadableError, header_size
from kit.data.remote_photos import photo_bytes, remote_files

ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".jp2"})


def image_size(data: bytes, how: Decoding) -> tuple[int, int]:
    """Width and height of an image as it is read: turned by EXIF's orientation only where that is applied.

    data: of its file. Raises UnreadableError.
    """
    if how.exif_orientation == "ignore":
        return header_size(data)
    from kit.data.decode import decode

    high, wide = decode(data, how).shape[:2]
    return wide, high


class FolderSizes(Mapping[str, tuple[int, int]]):
    """Width and height of the images below a folder by their ids: their files' names without the ending.

    A look-up raises KeyError where there is no such image, FileFault where it cannot be read, or two have the name.
    """

    def __init__(self, folder: Path, how: Decoding | None = None) -> None:
        self.folder, self.how = folder, how or Decoding()

    @cached_property
    def paths(self) -> dict[str, list[Path]]:
        """The files of every id; a folder is listed once."""
        found: dict[str, list[Path]] = {}
        for path in sorted(self._files()):
            if path.suffix.lower() in ENDINGS and not path.name.startswith("."):
                found.setdefault(path.stem, []).append(path)
        return found

    def _files(self) -> Iterable[Path]:
        if address_of(self.folder) is None:
            return self.folder.rglob("*")
        return (self.folder / local_name(name) for name in remote_files(self.folder))

    def __getitem__(self, name: str) -> tuple[int, int]:
        path, *others = self.paths[name]
        try:
            data = path.read_bytes() if address_of(path) is None else photo_bytes(path)
            if data is None:
                raise UnreadableError("gone since the folder was listed")
            size = image_size(data, self.how)
        except OSError as error:
            raise FileFault(path, f"cannot be read ({error.strerror})") from None
        except UnreadableError as error:
            raise FileFault(path, str(error)) from None
        if others:
            raise FileFault(others[0], f"a second image is named {name}, beside {path}")
        return size

    def __contains__(self, name: object) -> bool:
        return name in self.paths

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)
