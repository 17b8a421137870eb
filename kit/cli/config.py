"""`kit config`: the resolved configuration, and where it leaves the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli.options import ConfigName, Json, Overrides

if TYPE_CHECKING:
    from kit.config.against import Comparison

WIDEST = 48  # characters of a value in the table
OWN = "own"  # choice, no reason known


def show(
    config: ConfigName = "mini",
    set_: Overrides = None,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="paper", help="Compare with the paper's settings, with reasons."),
    ] = None,
    json: Json = False,
) -> None:
    """Print the configuration after file and --set, as a run would use it."""
    import yaml

    from kit.base.files import json_text
    from kit.config import load_config
    from kit.config.against import compare, reference

    settings = reference(against) if against is not None else None
    resolved = load_config(config, set_ or ())
    if settings is not None:
        rows = compare(resolved, settings)
        typer.echo(json_text(_counted(rows)) if json else _summary(config, str(against), rows))
        return
    values = resolved.model_dump(mode="json")
    typer.echo(json_text(values) if json else yaml.safe_dump(values, sort_keys=False).rstrip())


def _counted(rows: list[Comparison]) -> dict[str, Any]:
    """How many settings are the same and how many not, and all of them."""
    same = sum(row.same for row in rows)
    return {"same": same, "changed": len(rows) - same, "settings": [vars(row) for row in rows]}


def _summary(config: str, against: str, rows: list[Comparison]) -> str:
    """The settings that differ, with reasons, and how many do not."""
    changed = [row for row in rows if not row.same]
    shown = _changes(f"{config} against the {against}", changed) + "\n" if changed else ""
    return f"{shown}{len(rows) - len(changed)} of {len(rows)} settings are as in the {against}"


def _changes(title: str, rows: list[Comparison]) -> str:
    """A table of the settings that differ, and the reasons by number; without one it is the config's own choice."""
    from kit.base.errors import printable
    from kit.base.text_table import table
    from kit.config.against import value_text

    reasons = list(dict.fromkeys(row.reason for row in rows if row.reason))
    cells = [
        (
            row.key,
            value_text(row.paper),
            printable(value_text(row.config), WIDEST),
            row.section,
            reasons.index(row.reason) + 1 if row.reason else OWN,
        )
        for row in rows
    ]
    lines = [f"  {number}  {reason}\n" for number, reason in enumerate(reasons, 1)]
    return table(title, ("setting", "paper", "config", "section", "reason"), cells) + "".join(lines)
