"""A submission's header: what it is instead of `ImageId,PredictionString`, and what has probably happened."""

from __future__ import annotations

import csv

from kit.base.errors import FileFault
from kit.tables.csvfile import CsvFile
from kit.tables.submission_reader import HEADER

LONGEST = 120  # characters of a header in a message
WANTED = ",".join(HEADER)


def check_header(file: CsvFile) -> None:
    """Raises FileFault, with the header as it stands and the likely cause, unless it is a submission's."""
    with file.open() as raw:
        line = raw.readline(1 << 20).decode("utf-8", errors="replace").rstrip("\r\n")[:100_000]
    text = line.removeprefix("\ufeff")
    if next(csv.reader([text]), []) == list(HEADER):
        return
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    cause = _cause(text)
    problem = f"the header is {cut!r}, not {WANTED}"
    raise FileFault(file.path, f"{problem} ({cause})" if cause else problem, line=1)


def _cause(text: str) -> str:
    for sign, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if sign in text and "," not in text:
            return f"{name} where commas belong"
    if "\ufeff" in text:
        return "a byte order mark in it"
    fields = next(csv.reader([text]), [])
    bare = [field.strip(" \t\"'") for field in fields]
    if bare == list(HEADER):
        return "spaces or quotes that belong to the names"
    if bare[1:] == list(HEADER):
        return "an index column in front: pandas writes none with index=False"
    if "LabelName1" in bare or "RelationshipLabel" in bare:
        return "the long form, a row a prediction: Kaggle takes a line an image"
    if bare == ["ImageID", HEADER[1]]:
        return "ImageID for ImageId, as in the detection track, whose boxes have 6 tokens"
    if [name.lower() for name in bare] == [name.lower() for name in HEADER]:
        return "upper and lower case"
    if bare == list(HEADER)[::-1]:
        return "the columns in the other order"
    if bare[: len(HEADER)] == list(HEADER):
        return "more columns than two"
    return "no header: a first line of data" if len(bare) == len(HEADER) and _data(bare) else ""


def _data(fields: list[str]) -> bool:
    tokens = fields[1].split()
    return not tokens or "/m/" in fields[1]
