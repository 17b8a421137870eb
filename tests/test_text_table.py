"""Tables as text, compared with rich's."""

from io import StringIO

import pytest
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kit.base.text_table import table


def rich_table(title, columns, rows):
    """The same by rich, in lines without the spaces at their ends."""
    grid = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD)
    for i, name in enumerate(columns):
        numbers = any(isinstance(row[i], (int, float)) for row in rows)
        grid.add_column(name, justify="right" if numbers else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*(Text(f"{v:.4f}" if isinstance(v, float) else str(v)) for v in row))
    out = StringIO()
    Console(file=out, width=200, highlight=False).print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        (("name", "n", "AP"), [("Man", 1, 0.5), ("Guitar", 1200, 1.23456), ("", 7, float("nan"))]),
        (("name", "n"), []),
        (("name", "n"), [("a", None), ("b", 12)]),
        (("", "here", ""), [("a claim", "yes", "no")]),
        (("name", "kind"), [("日本", "wide"), ("e\u0301t", "combined"), ("[bold]", "as it is")]),
    ],
)
def test_as_rich_does(columns, rows):
    assert table("Title", columns, rows) == rich_table("Title", columns, rows)


def test_what_is_wide_stays_whole():
    title, word = "/a/path/" + "x" * 300, "y" * 300
    lines = table(title, ("name", "n"), [(word, 1)]).splitlines()
    assert lines[0] == title
    assert lines[-2].split() == [word, "1"]


def test_cells_are_one_line_each():
    assert (
        table("two\nlines", ("name",), [("a\nb\x1b",)]) == "two lines\n\n  name\n ─────────\n  a b\\x1b\n\n"
    )
