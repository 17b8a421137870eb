"""`kit submissions`: what was sent to Kaggle, and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli.options import ConfigName, Json, Overrides

if TYPE_CHECKING:
    from kit.config import Config


def submissions(
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask Kaggle for news.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw local against board score: .png, .pdf or .svg.", metavar="FILE"),
    ] = None,
    config: ConfigName = "mini",
    set_: Overrides = None,
    json: Json = False,
) -> None:
    """All submissions with their state, the open ones brought up to date by what Kaggle says."""
    from kit.base.address import redacted
    from kit.base.files import json_text
    from kit.base.log import logger
    from kit.cli import show
    from kit.cli.common import figure_path
    from kit.config import load_config
    from kit.kaggle.records import OPEN, read_records

    loaded = load_config(config, set_ or ())
    figure = figure_path(plot) if plot else None
    news = offline or _refresh(loaded)
    records = read_records(loaded.kaggle.records)
    text = redacted(json_text([vars(r) for r in records])) if json else show.submissions(records)
    typer.echo(text, nl=json)
    if figure is not None:
        from kit.report.leaderboard import draw

        n = draw(figure, records)
        logger.info(f"{n} submissions with both scores -> {figure}")
    if not news:
        raise typer.Exit(1)
    waiting = [r for r in records if r.state in OPEN]
    if waiting:
        logger.info(f"{len(waiting)} without a score yet")


def _refresh(config: Config) -> bool:
    """Ask Kaggle where there is something to ask; False where that failed (the records stand as they were)."""
    from kit.base.errors import KitError
    from kit.base.log import logger
    from kit.kaggle.client import Client
    from kit.kaggle.reconcile import close_interrupted, refresh
    from kit.kaggle.records import OPEN, lock_records, read_records

    folder = config.kaggle.records
    if not any(r.state in (*OPEN, "uploading") for r in read_records(folder)):
        return True
    try:
        with lock_records(folder):
            records = read_records(folder)
            close_interrupted(records, folder)
        for competition in sorted({r.competition for r in records if r.state in OPEN}):
            of_competition = [r for r in records if r.competition == competition]
            refresh(Client(competition, config.data.download.retry_policy()), of_competition, folder)
    except KitError as error:
        logger.warning(f"not brought up to date: {error}")
        return False
    return True
