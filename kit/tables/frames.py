"""Tables as pandas DataFrames and back: ids, names of labels and predicates, scores, corners of boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from kit.base.errors import KitError
from kit.tables.schema import BOX, Table, box_columns
from kit.vocabulary import vocabulary

if TYPE_CHECKING:
    from pandas import DataFrame

T = TypeVar("T", bound=Table)
NAMED = {"label": "names", "subject": "names", "object": "names", "predicate": "predicates"}


def to_frame(table: Table) -> DataFrame:
    """A row a row of the table: image_id, labels and predicates by name where they are the challenge's, corners."""
    import pandas as pd

    columns: dict[str, Any] = {"image_id": np.asarray(table.images, object)[table.image]}
    for name, kind in table.COLUMNS.items():
        values = getattr(table, name)
        if kind is BOX:
            columns |= {corner: values[:, i] for i, corner in enumerate(box_columns(name))}
        elif name in NAMED:
            names = np.asarray(getattr(vocabulary(), NAMED[name]), object)
            columns[name] = names[values] if values.max(initial=0) < len(names) else values
        else:
            columns[name] = values
    return pd.DataFrame(columns)


def from_frame(kind: type[T], frame: DataFrame) -> T:
    """The table of a DataFrame with the columns that `to_frame` gives; labels by name or number.

    Raises KitError for a missing column, an unknown name and a number that the column cannot hold.
    """
    import pandas as pd

    _require(frame, "image_id")
    if frame["image_id"].isna().any():
        raise KitError("DataFrame: column image_id: a row names no image")
    codes, images = pd.factorize(frame["image_id"].astype(str), sort=False)
    try:
        columns = {name: _column(frame, name, dtype) for name, dtype in kind.COLUMNS.items()}
        return kind(images=tuple(images), image=codes, **columns)
    except ValueError as error:
        raise KitError(f"DataFrame: {error}") from None


def _column(frame: DataFrame, name: str, dtype: Any) -> Any:
    corners = box_columns(name) if dtype is BOX else (name,)
    for corner in corners:
        _require(frame, corner)
    if dtype is BOX:
        return frame[list(corners)].to_numpy(np.float32)
    return _numbers(name, frame[name]) if name in NAMED else frame[name].to_numpy()


def _require(frame: DataFrame, name: str) -> None:
    if name not in frame.columns:
        raise KitError(f"DataFrame: no column {name}", f"it has: {', '.join(map(str, frame.columns))}")


def _numbers(name: str, column: Any) -> Any:
    """Labels or predicates as numbers of the vocabulary."""
    if column.dtype.kind in "iu":
        return column.to_numpy()
    known = {text: i for i, text in enumerate(getattr(vocabulary(), NAMED[name]))}
    unknown = [text for text in column.unique() if text not in known]
    if unknown:
        raise KitError(f"DataFrame: column {name}: {unknown[0]!r} is no name of the challenge")
    return column.map(known).to_numpy()
