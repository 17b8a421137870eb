"""Class names from a file, in the order of their weights: the forms in which people keep them.

A name a line (also `0: person`, `person,0`, `MID,Name`), JSON and YAML lists and tables, COCO's categories, and
label maps of `item { ... }`. Where every name has a number, the numbers give the order.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kit.base.errors import FileFault
from kit.base.files import read_text
from kit.base.yamlfile import compose_names, words

CHECKPOINTS = (".pth", ".pt", ".ckpt", ".bin")
ZIP, PICKLE = b"PK", b"\x80"  # the first bytes of what torch.save writes, today and before
MOST_BYTES = 64 << 20
LONGEST = 200  # characters of a name
INSIDE = ("categories", "classes", "CLASSES", "names", "labels", "id2label")  # keys that hold the names
HEADER = re.compile(r"[\"']?(id|index|mid|labels?|names?|class(es)?|category)", re.IGNORECASE)
MID = re.compile(r"/[a-z]/\w+$")
NUMBER = re.compile(r"\d{1,9}$")
SEPARATORS = " \t:=,;"
NUMBER_FIRST = re.compile(rf"(\d{{1,9}})([{SEPARATORS}]+)(?=\S)")
ITEM = re.compile(r"\bitem\s*\{([^{}]*)\}")
FIELD = re.compile(r"\b(\w+)\s*:\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s,]+))")
KIND = "a file of class names"
HINT = "give a name a line, in the order of the weights"


@dataclass(frozen=True)
class Entry:
    """A class name as it stands in a file: its number and its line, each where it has one."""

    name: str
    number: int | None = None
    line: int | None = None


def read_names(path: Path) -> tuple[str, ...]:
    """The class names of a file in the order of their weights. Raises FileFault, with the line where known."""
    text = _text(path)
    entries = [replace(entry, name=" ".join(entry.name.split())) for entry in _entries(path, text)]
    if not entries:
        raise FileFault(path, "no class name", hint=HINT)
    numbers = [entry.number for entry in entries if entry.number is not None]
    if len(numbers) == len(entries):
        _refuse_twice(path, entries, lambda entry: f"number {entry.number}")
        entries.sort(key=lambda entry: entry.number or 0)
    for entry in entries:
        if not entry.name or not entry.name.isprintable() or len(entry.name) > LONGEST:
            raise FileFault(path, f"not a class name: {entry.name[:60]!r}", line=entry.line, hint=HINT)
    _refuse_twice(path, entries, lambda entry: entry.name)
    return tuple(entry.name for entry in entries)


def is_checkpoint(path: Path) -> bool:
    """Whether a file is to be read as a checkpoint: by its ending, else by its first bytes."""
    if path.suffix.lower() in CHECKPOINTS:
        return True
    try:
        with path.open("rb") as file:
            return file.read(4).startswith((ZIP, PICKLE))
    except (OSError, ValueError):
        return False


def background(names: Sequence[str]) -> int | None:
    """The place of the name that means the background, None where there is none."""
    words = [name.strip(" _-").lower() for name in names]
    return next((i for i, word in enumerate(words) if word in ("background", "bg")), None)


def _text(path: Path) -> str:
    if not path.exists():
        raise FileFault(path, "no such file", hint="give coco, a names file or a checkpoint")
    text = read_text(path, KIND, MOST_BYTES, HINT)
    if "\0" in text:
        raise FileFault(path, f"not {KIND}: it holds bytes of zero", hint=HINT)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _entries(path: Path, text: str) -> Iterator[Entry]:
    start = text.lstrip()[:1]
    if path.suffix.lower() == ".json" or (start and start in "[{"):
        yield from _of_value(path, _structured(path, text))
    elif path.suffix.lower() in (".yaml", ".yml"):
        yield from _of_value(path, words(compose_names(path, text, KIND)))
    elif items := list(ITEM.finditer(text)):
        for item in items:
            fields = {
                f[1]: next((v for v in f.groups()[1:] if v is not None), "") for f in FIELD.finditer(item[1])
            }
            line = text[: item.start()].count("\n") + 1
            name = fields.get("display_name") or fields.get("name")
            if not name:
                raise FileFault(path, "an item without a name", line=line)
            yield Entry(name, _number(fields.get("id")), line)
    else:
        yield from _of_lines(
            [(i, line.strip()) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
        )


def _structured(path: Path, text: str) -> object:
    """JSON, or where it is none, the YAML that looks like it."""
    try:
        return json.loads(text, object_pairs_hook=_pairs)
    except json.JSONDecodeError as error:
        if path.suffix.lower() == ".json":
            raise FileFault(path, f"not JSON ({error.msg})", line=error.lineno) from None
        return words(compose_names(path, text, KIND))
    except KeyError as error:
        raise FileFault(path, f"{error.args[0]} is there twice") from None
    except (ValueError, RecursionError):
        raise FileFault(path, f"not {KIND}: not readable as JSON", hint=HINT) from None


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        raise KeyError(next(key for i, key in enumerate(keys) if key in keys[:i]))
    return table


def _of_value(path: Path, value: object) -> Iterator[Entry]:
    """The names in lists and tables."""
    if isinstance(value, list):
        for i, item in enumerate(value, 1):
            if isinstance(item, dict):
                yield Entry(_name(path, item.get("name"), i), _number(item.get("id")))
            else:
                yield Entry(_name(path, item, i))
    elif isinstance(value, dict):
        inside = next((key for key in INSIDE if isinstance(value.get(key), (list, dict))), None)
        if inside is not None:
            yield from _of_value(path, value[inside])
        elif all(_number(key) is not None for key in value):
            for i, (key, name) in enumerate(value.items(), 1):
                yield Entry(_name(path, name, i), _number(key))
        elif all(_number(number) is not None for number in value.values()):
            for i, (name, number) in enumerate(value.items(), 1):
                yield Entry(_name(path, name, i), _number(number))
        else:
            raise FileFault(path, "a table without class names", hint='write {"0": "person", ...}')
    else:
        raise FileFault(path, "not a list of class names", hint=HINT)


def _name(path: Path, value: object, place: int) -> str:
    if not isinstance(value, str) or not value.strip():
        raise FileFault(path, f"entry {place} has no name", hint=HINT)
    return value.strip()


def _number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and NUMBER.match(value.strip()) else None


def _of_lines(lines: list[tuple[int, str]]) -> Iterator[Entry]:
    """The names of a text's lines, in the form that all of them have."""
    if all(line.startswith("- ") for _, line in lines):
        lines = [(i, line[2:].strip()) for i, line in lines]
    if all(line.endswith(",") for _, line in lines[:-1]) and len(lines) > 1:
        lines = [(i, line.removesuffix(",").strip()) for i, line in lines]
    headless = lines[1:] if len(lines) > 1 and HEADER.match(lines[0][1]) else lines
    for rows in (lines, headless):
        for form in (_with_mids, _with_numbers):
            if rows and (entries := form(rows)):
                yield from entries
                return
    yield from (Entry(_bare(line), None, i) for i, line in lines)


def _with_mids(lines: list[tuple[int, str]]) -> list[Entry]:
    """Names beside the ids of Open Images (`/m/01g317,Person`); none where a line has no such id or no name."""
    entries = []
    for i, line in lines:
        if len(line) > 2 * LONGEST:
            return []
        cells = [cell.strip() for cell in next(csv.reader([line.replace("\t", ",")]))]
        names = [cell for cell in cells if cell and not MID.match(cell) and not NUMBER.match(cell)]
        if not names or not any(MID.match(cell) for cell in cells):
            return []
        entries.append(Entry(", ".join(names), None, i))
    return entries


def _with_numbers(lines: list[tuple[int, str]]) -> list[Entry]:
    """Names with a number before or behind each; none where a line has none.

    Blanks alone part a number from a name only where the numbers count the lines: "Formula 1" is a name.
    """
    for split in (_number_first, _number_last):
        parts = [split(line) for _, line in lines]
        found = [part for part in parts if part is not None]
        if len(found) < len(lines):
            continue
        numbers = sorted(int(number) for number, _, _ in found)
        counted = numbers in (list(range(len(numbers))), list(range(1, len(numbers) + 1)))
        if counted or all(between.strip(" ") for _, between, _ in found):
            rows = zip(lines, found, strict=True)
            return [Entry(_bare(name), int(number), i) for (i, _), (number, _, name) in rows]
    return []


def _number_first(line: str) -> tuple[str, str, str] | None:
    """Number, what is between, name."""
    match = NUMBER_FIRST.match(line)
    return (match[1], match[2], line[match.end() :]) if match else None


def _number_last(line: str) -> tuple[str, str, str] | None:
    """Number, what is between, name."""
    body = line.rstrip("0123456789")
    number, name = line[len(body) :], body.rstrip(SEPARATORS)
    between = body[len(name) :]
    return (number, between, name) if name and between and 0 < len(number) < 10 else None


def _bare(name: str) -> str:
    """A name without the quotes around it."""
    return name[1:-1].strip() if len(name) > 2 and name[0] == name[-1] and name[0] in "'\"" else name


def _refuse_twice(path: Path, entries: Sequence[Entry], what: Callable[[Entry], str]) -> None:
    """Raise FileFault at the first entry whose number or name came before."""
    seen: set[str] = set()
    for entry in entries:
        if what(entry) in seen:
            raise FileFault(path, f"{what(entry)} is there twice", line=entry.line)
        seen.add(what(entry))
