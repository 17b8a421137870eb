"""`kit config`: the resolved configuration, and where it leaves the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

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

    settings = reference(against) if against is not None else ()
    resolved = load_config(config, set_ or ())
    if against is None:
        values = resolved.model_dump(mode="json")
        typer.echo(json_text(values) if json else yaml.safe_dump(values, sort_keys=False).rstrip())
        return
    found = compare(resolved, settings)
    changed = sum(not row.same for row in found)
    counts = {"config": config, "against": against, "same": len(found) - changed, "changed": changed}
    if json:
        typer.echo(json_text(counts | {"settings": [vars(row) for row in found]}))
        return
    if changed:
        typer.echo(_changes(f"{config} against the {against}", [row for row in found if not row.same]))
    typer.echo(f"{counts['same']} of {len(found)} settings are as in the {against}")


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
