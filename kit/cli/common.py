"""What commands share: the kinds of figures, and saying what a stage did."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import typer

from kit.base.errors import KitError, printable
from kit.base.files import json_text

FIGURES = (".png", ".pdf", ".svg")


def figure_path(path: Path) -> Path:
    """The path of a figure. Raises KitError where its ending names no kind of figure."""
    if path.suffix not in FIGURES:
        raise KitError(f"{path}: not a kind of figure", f"end it in {', '.join(FIGURES)}")
    return path


def report_stage(run: Path, name: str, record: dict[str, Any], json: bool) -> None:
    """Print a stage's folder, time and figures."""
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK", "0") != "0":
        return
    path = run / name
    if json:
        typer.echo(json_text({"stage": name, "path": str(path), **record}))
        return
    shown = {key: value for key, value in record["metrics"].items() if not _nested(value)}
    figures = ", ".join(f"{key.replace('_', ' ')} {_plain(v)}" for key, v in shown.items())
    typer.echo(f"{name}: {figures} ({record['seconds']:.1f} s) -> {printable(str(path))}")


def _nested(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(inner, dict) for inner in value.values())


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={v}" for key, v in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
