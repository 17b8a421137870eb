"""YAML that people edit, as nodes with lines: no aliases, no keys twice, nothing deep; a word stays a word."""

from __future__ import annotations

from pathlib import Path

import yaml

from kit.errors import FileFault

DEEPEST = 20  # tables and lists inside each other
LONGEST = 1 << 20  # characters
Plain = str | None | list["Plain"] | dict[str, "Plain"]


def compose(path: Path, text: str, what: str) -> yaml.Node:
    """The root node. what: what the file should be. Raises FileFault with the line."""
    if len(text) > LONGEST:
        raise FileFault(path, f"not {what}: {len(text)} characters")
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            line = event.start_mark.line + 1 if event.start_mark else None
            if isinstance(event, yaml.AliasEvent):
                raise FileFault(path, "an alias (*) is not read", line=line, hint="write it out")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise FileFault(path, f"not {what}: tables inside tables, {DEEPEST} deep", line=line)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise FileFault(path, f"not {what}: not YAML ({error.problem})", line=line) from None
    except yaml.YAMLError as error:  # a character that YAML does not know
        raise FileFault(path, f"not {what}: not YAML ({str(error).splitlines()[0]})") from None
    if root is None:
        raise FileFault(path, f"not {what}: empty")
    return root


def table(path: Path, node: yaml.Node, what: str) -> dict[str, yaml.Node]:
    """The entries of a table node by their keys. Raises FileFault where it is none or has a key twice."""
    if not isinstance(node, yaml.MappingNode):
        raise FileFault(path, f"{what} is not a table", line=line_of(node), hint="write key: value lines")
    entries: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise FileFault(path, "a key is not a word", line=line_of(key))
        if key.value in entries:
            raise FileFault(path, f"{key.value} is there twice", line=line_of(key))
        entries[key.value] = value
    return entries


def line_of(node: yaml.Node) -> int:
    """The 1-based line where a node begins."""
    return int(node.start_mark.line) + 1


def plain(path: Path, node: yaml.Node) -> Plain:
    """A node as lists, dicts, None and texts; numbers, dates and truth values stay the texts they are."""
    if isinstance(node, yaml.MappingNode):
        return {key: plain(path, value) for key, value in table(path, node, "the file").items()}
    if isinstance(node, yaml.SequenceNode):
        return [plain(path, value) for value in node.value]
    return None if node.tag == "tag:yaml.org,2002:null" else str(node.value)
