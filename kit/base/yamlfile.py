"""YAML that people write, read in bounded time and memory: as settings, or as words with their lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from kit.base.errors import FileFault, KitError, printable
from kit.base.files import read_text

DEEPEST = 32  # tables and lists inside one another
LONGEST = 64  # bits of a whole number
SHOWN = 60  # characters of a value in a message
MERGE, TEXT, INTEGER, NULL = (f"tag:yaml.org,2002:{kind}" for kind in ("merge", "str", "int", "null"))
Words = str | None | list["Words"] | dict[str, "Words"]


@dataclass(frozen=True)
class Limits:
    """size: bytes of a text; values: how many, aliases written out."""

    size: int
    values: int


SETTINGS = Limits(256 << 10, 20_000)
NAMES = Limits(1 << 20, 100_000)


class YamlFault(KitError):
    """What is wrong with a text as YAML; line: 1-based, where known."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.line = line


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without dates (2020-01-01 is a text), and not slow on what is nested too deep."""

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        """As PyYAML does, down to a depth."""
        if self.flow_level > DEEPEST:
            raise RecursionError
        super().fetch_flow_collection_start(token)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if not tag.endswith(":timestamp")]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(path: Path, what: str = "a config file") -> Any:
    """The settings in a YAML file, None where it has none. Raises FileFault, with the line where it is known."""
    text = read_text(path, what, SETTINGS.size)
    try:
        return parse_yaml(text)
    except YamlFault as fault:
        raise FileFault(path, fault.message, line=fault.line) from None


def line_of_key(path: Path, keys: Sequence[str]) -> int | None:
    """The 1-based line of a key inside tables and lists (by its index) of a file that `read_yaml` has read.

    None where it does not stand there by itself (it came by an alias, say).
    """
    node, line = compose_yaml(read_text(path, "a config file", SETTINGS.size)), None
    for key in keys:
        pairs = node.value if isinstance(node, MappingNode) else ()
        if isinstance(node, SequenceNode):
            if not key.isdecimal() or int(key) >= len(node.value):
                return None
            node = node.value[int(key)]
            continue
        name, node = next(((name, value) for name, value in pairs if name.value == key), (None, None))
        line = line_of(name) if name is not None else None
    return line


def parse_yaml(text: str) -> Any:
    """The settings in a YAML text: every key a text, whole numbers within 64 bits. Raises YamlFault."""
    root = compose_yaml(text)
    if root is None:
        return None
    for node in _distinct(root, set()):
        if isinstance(node, MappingNode):
            _check_keys(node)
        elif isinstance(node, ScalarNode) and node.tag == INTEGER:
            _check_number(node)
    with _faults(text):
        return _Loader("").construct_document(root)


def compose_yaml(text: str, limits: Limits = SETTINGS) -> Node | None:
    """The root node of a YAML text within the limits, every key of a table once; None where it is empty.

    Raises YamlFault.
    """
    if len(text) > limits.size:
        raise YamlFault(f"longer than {limits.size >> 10} kB")
    with _faults(text):
        root: Node | None = yaml.compose(text, _Loader)
    if root is not None:
        _measure(root, limits.values, {}, [])
    return root


def compose_names(path: Path, text: str, what: str) -> Node:
    """The root node of a file's text. Raises FileFault: not `what`, and why, with the line where it is known."""
    try:
        root = compose_yaml(text, NAMES)
    except YamlFault as fault:
        raise FileFault(path, f"not {what}: {fault.message}", line=fault.line) from None
    if root is None:
        raise FileFault(path, f"not {what}: empty")
    return root


def entries(path: Path, node: Node, what: str) -> dict[str, Node]:
    """The entries of a table by their keys. Raises FileFault where the node is none; what: what to call it."""
    if not isinstance(node, MappingNode):
        raise FileFault(path, f"{what} is not a table", line=line_of(node), hint="write key: value lines")
    return {key.value: value for key, value in node.value}


def words(node: Node) -> Words:
    """A node as lists, tables, None and words: numbers, keys and truth values stay the texts they are."""
    if isinstance(node, MappingNode):
        return {key.value: words(value) for key, value in node.value}
    if isinstance(node, SequenceNode):
        return [words(value) for value in node.value]
    return None if is_null(node) else str(node.value)


def is_null(node: Node) -> bool:
    """Whether a node stands for nothing: null, ~ or no word at all."""
    return bool(node.tag == NULL)


def line_of(node: Node) -> int:
    """The 1-based line where a node begins."""
    return int(node.start_mark.line) + 1


@contextmanager
def _faults(text: str) -> Iterator[None]:
    """Inside, what PyYAML raises on a text is a YamlFault."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise YamlFault(f"not YAML ({error.problem})", mark.line + 1 if mark else None) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlFault(f"not YAML (the character {chr(error.character)!a})", line) from None
    except RecursionError:
        raise YamlFault(f"more than {DEEPEST} tables or lists inside one another") from None
    except (ValueError, OverflowError, TypeError) as error:
        raise YamlFault(f"a value that is none ({error})") from None


def _measure(node: Node, most: int, known: dict[int, int], above: list[int]) -> int:
    """How many values a node is, aliases written out. Raises YamlFault where that is too much, or wrong."""
    if id(node) in above:
        raise YamlFault("an alias inside what it stands for", line_of(node))
    if len(above) > DEEPEST:
        raise YamlFault(f"more than {DEEPEST} tables or lists inside one another", line_of(node))
    if id(node) not in known:
        if isinstance(node, MappingNode):
            _refuse_twice(node)
        size = 1 + sum(_measure(value, most, known, [*above, id(node)]) for value in _inside(node))
        if size > most:
            raise YamlFault(f"more than {most:,} values, aliases written out", line_of(node))
        known[id(node)] = size
    return known[id(node)]


def _inside(node: Node) -> list[Node]:
    """The values in a table or list."""
    if isinstance(node, MappingNode):
        return [value for _, value in node.value]
    return list(node.value) if isinstance(node, SequenceNode) else []


def _distinct(node: Node, seen: set[int]) -> Iterator[Node]:
    """A node and all below it, each once."""
    if id(node) not in seen:
        seen.add(id(node))
        yield node
        for value in _inside(node):
            yield from _distinct(value, seen)


def _refuse_twice(table: MappingNode) -> None:
    seen = set()
    for key, _ in table.value:
        if not isinstance(key, ScalarNode):
            raise YamlFault("a key that is a list or table", line_of(key))
        if key.value in seen and key.tag != MERGE:
            raise YamlFault(f"the key {printable(key.value, SHOWN)} is there twice", line_of(key))
        seen.add(key.value)


def _check_keys(table: MappingNode) -> None:
    for key, _ in table.value:
        if key.tag not in (TEXT, MERGE):
            shown = printable(key.value, SHOWN)
            raise YamlFault(f"the key {shown} is no text (put it into quotes if it is meant)", line_of(key))


def _check_number(node: ScalarNode) -> None:
    """Whole numbers fit into 64 bits; what Python and the libraries would choke on is no setting."""
    text = node.value.replace("_", "")
    if len(text) <= LONGEST + 3:
        with _faults(text):
            value = _Loader("").construct_yaml_int(node)
        if not value or math.log2(abs(value)) < LONGEST - 1:
            return
    raise YamlFault(f"the number {printable(text, SHOWN)} is too large", line_of(node))
