"""`kit download`: put the data that the config names in place."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli.options import ConfigName, Force, Json, Overrides

if TYPE_CHECKING:
    from kit.config import Config
    from kit.download.selection import PhotoFilter, Target


class What(StrEnum):
    """What to get of the real data."""

    annotations = "annotations"
    photos = "photos"
    weights = "weights"
    test = "test"
    all = "all"


class PhotoSplit(StrEnum):
    """The splits whose photos the annotations name."""

    train = "train"
    stack = "stack"
    val = "val"


def download(
    what: Annotated[What, typer.Argument(help="Of the real data.")] = What.all,
    split: Annotated[
        list[PhotoSplit] | None,
        typer.Option(help="Photos of this split. May be repeated (default: all).", metavar="train|stack|val"),
    ] = None,
    predicates: Annotated[
        list[str] | None,
        typer.Option(
            "--predicates", help="Photos with these predicates: names with commas between.", metavar="NAME"
        ),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--classes", help="Photos with these classes: names with commas between.", metavar="NAME"
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="So many photos a split at the most.", metavar="N")
    ] = None,
    part: Annotated[
        str,
        typer.Option(
            help="Of the photos part I of N, for machines that share the work, one part each.", metavar="I/N"
        ),
    ] = "1/1",
    all_: Annotated[
        bool, typer.Option("--all", help="Also files and photos that the config's trainings do not look at.")
    ] = False,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Photos for trainings of so many processes (default: detector.processes, attribute.processes).",
            metavar="N",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would come, how large, how long; get nothing.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check what is there first, and get anew what is damaged.")
    ] = False,
    ask_again: Annotated[
        bool, typer.Option("--ask-again", help="Also ask for photos that were missing before.")
    ] = False,
    config: ConfigName = "mini",
    set_: Overrides = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Generate the mini challenge (data.source: mini), or get the real data; what is there is left alone."""
    from functools import partial

    from kit.config import load_config
    from kit.download.selection import PhotoFilter, photo_part
    from kit.pipeline.needed_images import needed_images

    loaded = load_config(config, set_ or ())
    if loaded.data.source == "mini":
        _mini(loaded, force, dry_run, json)
        return
    asked = {s.value for s in split or PhotoSplit}
    splits = [name for name in PhotoFilter.splits if name in asked]
    needed = None if all_ else partial(needed_images, loaded, processes=processes)
    names = _names(predicates), _names(classes)
    choice = PhotoFilter(splits, *names, limit, needed, photo_part(part))
    if dry_run:
        _preview(loaded, what.value, choice, all_, json)
    else:
        _get(loaded, what.value, choice, verify, ask_again, all_, json)


def _names(given: list[str] | None) -> tuple[str, ...]:
    return tuple(name.strip() for text in given or () for name in text.split(",") if name.strip())


def _mini(config: Config, force: bool, dry_run: bool, json: bool) -> None:
    from kit.base.errors import printable
    from kit.base.files import json_text
    from kit.base.log import logger
    from kit.base.progress import track
    from kit.data.mini import build_mini, is_built

    data = config.data
    built = is_built(data.root, data.mini) and not force
    if built:
        logger.info(f"{data.root}: the mini challenge is there already")
    elif dry_run:
        logger.info(f"{data.root}: the mini challenge would be generated; nothing is downloaded for it")
    files = [] if built or dry_run else build_mini(data.root, data.mini, track)
    if json:
        typer.echo(json_text({"files": [str(path) for path in files]}))
        return
    for path in files:
        typer.echo(printable(str(path)))


def _preview(config: Config, what: Target, choice: PhotoFilter, every: bool, json: bool) -> None:
    from kit.base.files import json_text
    from kit.base.text_table import table
    from kit.cli import show
    from kit.download.preview import free_bytes, preview

    rows = preview(config, what, choice, every)
    if json:
        typer.echo(json_text(rows))
        return
    shown = [
        (
            row["what"],
            row["to get"],
            ("about " if row["about"] else "") + show.size(row["bytes"]),
            show.duration(row["seconds"]),
        )
        for row in rows
    ]
    typer.echo(table("To get", ("what", "files", "size", "time"), shown), nl=False)
    about = "about " if any(row["about"] for row in rows) else ""
    needed = about + show.size(sum(row["bytes"] or 0 for row in rows))
    timed = [row["seconds"] for row in rows if row["seconds"] is not None]
    time = (
        f"about {show.duration(sum(timed))}, as far as is known" if timed else "a time that is not known yet"
    )
    typer.echo(f"needed: {needed} and {time}; free: {show.size(free_bytes(config.data.root))}")


def _get(
    config: Config,
    what: Target,
    choice: PhotoFilter,
    verify: bool,
    ask_again: bool,
    every: bool,
    json: bool,
) -> None:
    from kit.base.errors import printable
    from kit.base.files import json_text
    from kit.base.log import logger
    from kit.download import download_all
    from kit.pipeline.engine.choice import photo_fetcher

    fetch = photo_fetcher(config) if what in ("photos", "test", "all") else None
    outcome = download_all.download(config, what, choice, ask_again, verify, every, fetch)
    for name in outcome.damaged:
        logger.warning(f"{name} was damaged")
    photos = {
        split: {"got": t.got, "there": t.there, "missing": t.missing, "failed": t.failures()}
        for split, t in outcome.photos.items()
    }
    if json:
        typer.echo(json_text({"files": outcome.files, "photos": photos, "failed": outcome.failed}))
    else:
        for path in outcome.files:
            typer.echo(printable(path))
        for split, counts in photos.items():
            typer.echo(f"photos {split}: " + ", ".join(f"{n} {name}" for name, n in counts.items()))
    for url, cause in outcome.failed:
        logger.warning(f"not got: {url}: {cause}")
    for split, tally in outcome.photos.items():
        for cause, n in tally.causes.most_common():
            logger.warning(f"not got: {n} photos of {split} ({tally.first[cause]} the first): {cause}")
    if not outcome.ok:
        logger.info("the next `kit download` gets what is left")
        raise typer.Exit(1)
