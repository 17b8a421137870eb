"""YAML as settings are written: in bounded time and memory, every key once, numbers and texts alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from kit.errors import FileFault, KitError, printable

LARGEST = 256 << 10  # bytes of a config file
DEEPEST = 32  # tables and lists inside one another
MOST = 20_000  # values, aliases written out
LONGEST = 64  # bits of a whole number
SHOWN = 60  # characters of a value in a message


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
    """The value of a YAML file. Raises FileFault, with the line where it is known."""
    try:
        if path.is_dir():
            raise FileFault(path, f"a folder, not {what}")
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise FileFault(path, f"cannot be read ({error.strerror})") from None
    if len(data) > LARGEST:
        raise FileFault(path, f"larger than {LARGEST >> 10} kB: not {what}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileFault(path, f"not UTF-8 text, so not {what}", line=line) from None
    try:
        return parse_yaml(text)
    except YamlFault as fault:
        raise FileFault(path, fault.message, line=fault.line) from None


def parse_yaml(text: str) -> Any:
    """The value of a YAML text. Raises YamlFault."""
    if len(text) > LARGEST:
        raise YamlFault(f"longer than {LARGEST >> 10} kB")
    loader = _Loader("")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, {}, [])
        return loader.construct_document(node)
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
    finally:
        loader.dispose()


def _measure(node: Node, known: dict[int, int], above: list[int]) -> int:
    """How many values a node is, aliases written out. Raises YamlFault where that is too much, or wrong."""
    if id(node) in above:
        raise YamlFault("an alias inside what it stands for", _line(node))
    if len(above) > DEEPEST:
        raise YamlFault(f"more than {DEEPEST} tables or lists inside one another", _line(node))
    if id(node) in known:
        return known[id(node)]
    inside = [*above, id(node)]
    size = 1
    if isinstance(node, SequenceNode):
        size += sum(_measure(item, known, inside) for item in node.value)
    elif isinstance(node, MappingNode):
        _check_keys(node)
        size += sum(_measure(value, known, inside) for _, value in node.value)
    elif isinstance(node, ScalarNode):
        _check_number(node)
    if size > MOST:
        raise YamlFault(f"more than {MOST:,} values, aliases written out", _line(node))
    known[id(node)] = size
    return size


def _check_keys(node: MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            continue
        if key.tag != "tag:yaml.org,2002:str":
            shown = printable(str(key.value), SHOWN) if isinstance(key, ScalarNode) else "a list or table"
            raise YamlFault(f"the key {shown} is no text (put it into quotes if it is meant)", _line(key))
        if key.value in seen:
            raise YamlFault(f"the key {printable(key.value, SHOWN)} is there twice", _line(key))
        seen.add(key.value)


def _check_number(node: ScalarNode) -> None:
    """Whole numbers fit into 64 bits; what Python and the libraries would choke on is no setting."""
    if node.tag != "tag:yaml.org,2002:int":
        return
    text = node.value.replace("_", "")
    if len(text) > LONGEST + 3:
        raise YamlFault(f"the number {printable(text, SHOWN)} is too large", _line(node))
    value = yaml.SafeLoader.construct_yaml_int(yaml.SafeLoader(""), node)
    if value and math.log2(abs(value)) >= LONGEST - 1:
        raise YamlFault(f"the number {printable(text, SHOWN)} is too large", _line(node))


def _line(node: Node) -> int | None:
    return node.start_mark.line + 1 if node.start_mark else None
