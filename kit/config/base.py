"""What every part of the configuration is: closed, unchangeable, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [] if value is None else [value]


Files = Annotated[list[Path], BeforeValidator(_as_list)]
Share = Annotated[float, Field(gt=0, le=1)]


class Model(BaseModel):
    """A part of the configuration: closed and unchangeable."""

    model_config = ConfigDict(extra="forbid", frozen=True)
