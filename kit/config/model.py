"""What every part of the configuration is: closed, unchangeable, checked."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from kit.base.address import is_address
from kit.base.errors import KitError
from kit.base.remote_place import Kept, local_place, shown_place


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [] if value is None else [value]


def _at_home(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("input should be a path without NUL characters")
    return Path(os.path.expanduser(path))


def _local(value: Any) -> Any:
    if isinstance(value, str) and is_address(value):
        raise ValueError("an address, and only run and folders of images may be one: give a local file")
    return value


def _place(kept: Kept) -> BeforeValidator:
    """Of a text: the folder, or that of its local copy where it is an address."""

    def place(value: Any) -> Any:
        try:
            return local_place(value, kept) if isinstance(value, str) else value
        except KitError as error:
            raise ValueError(str(error)) from None

    return BeforeValidator(place)


def _each_once(files: list[Path]) -> list[Path]:
    twice = next((path for i, path in enumerate(files) if path in files[:i]), None)
    if twice is not None:
        raise ValueError(f"{twice} is there twice: its rows would count twice")
    return files


UserPath = Annotated[Path, BeforeValidator(_local), AfterValidator(_at_home)]  # ~ is written out
_SHOWN = PlainSerializer(shown_place, return_type=str, when_used="json")
# a folder, or an address that fsspec knows (s3://bucket/folder): in Python the path of its local copy
RunPath = Annotated[Path, _place("runs"), AfterValidator(_at_home), _SHOWN]
ImagesPath = Annotated[Path, _place("photos"), AfterValidator(_at_home), _SHOWN]
Files = Annotated[list[UserPath], BeforeValidator(_as_list), AfterValidator(_each_once)]
MOST_PROCESSES = 64
MOST_THREADS = 1024
Share = Annotated[float, Field(gt=0, le=1)]
Name = Annotated[str, Field(pattern=r"^\w[\w.-]{0,99}$")]  # of a model: a part of a folder's name
LATER = "later"  # Annotated[..., LATER]: a setting that came when results had been made without it
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what numpy and torch both take


class Model(BaseModel):
    """A part of the configuration: closed and unchangeable, numbers finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def result_settings(self, exclude: Collection[str]) -> dict[str, Any]:
        """The settings that a result depends on. exclude: those that say where it is computed, or how it is kept.

        A LATER one counts where it is not its default, so that what was made before it came stays fresh; a LATER
        setting whose default changes is marked so no more.
        """
        fields, settings = type(self).model_fields, self.model_dump(exclude=set(exclude))
        before = {
            n for n in settings if LATER in fields[n].metadata and getattr(self, n) == fields[n].default
        }
        return {name: value for name, value in settings.items() if name not in before}
