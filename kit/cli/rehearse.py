"""`kit rehearse`: hours, memory and disk of a whole run on this machine, before it starts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli.options import RunOptions, run_command

if TYPE_CHECKING:
    from kit.rehearsal.estimate import Estimate, Rehearsal

UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0}
GIB = 2.0**30


@run_command
def rehearse(
    options: RunOptions,
    *,
    minutes: Annotated[
        float, typer.Option("--minutes", min=0.5, metavar="N", help="About how long the rehearsal takes.")
    ] = 10.0,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="TIME", help="Time for the whole run: 48h, 2d, 90m.")
    ] = None,
    jobs: Annotated[
        int,
        typer.Option("--jobs", min=1, metavar="N", help="Stages at a time, as of train all and evaluate."),
    ] = 1,
) -> None:
    """Run every stage for a short while and estimate the whole: hours, memory, disk, what bounds it.

    What is missing (files, photos, weights) is made in the size of the real one, and named. Exit code 1 where the
    whole takes longer than the budget, or a stage fails or is not measured.
    """
    from kit.base.files import json_text
    from kit.rehearsal.conduct import rehearse as conduct

    allowed = seconds_of(budget) if budget else None
    found = conduct(options.session.config, options.session.path, minutes, jobs)
    typer.echo(
        json_text(found.as_dict() | {"budget": allowed}) if options.json else shown(found), nl=options.json
    )
    over = _verdict(found, allowed)
    raise typer.Exit(1 if over or any(stage.failed for stage in found.stages) else 0)


def seconds_of(text: str) -> float:
    """Seconds of a time as 48h, 2d or 90m. Raises KitError."""
    from kit.base.errors import KitError

    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", text.strip())
    if found is None:
        raise KitError(f"--budget {text}: not a time", "write it as 48h, 2d or 90m")
    return float(found[1]) * UNITS[found[2]]


def shown(rehearsal: Rehearsal) -> str:
    """A table of the stages and a line of the whole; below it, why stages were not measured."""
    from kit.base.errors import printable
    from kit.base.text_table import table

    columns = ("stage", "time", "a second", "of", "GPU GiB", "RAM GiB", "disk GiB", "waits", "bound by")
    name = f"whole run, --jobs {rehearsal.jobs}" if rehearsal.jobs > 1 else "whole run"
    total = (name, whole_text(rehearsal), "", "", *_sizes(rehearsal), "", "")
    reasons = (
        f"{printable(f'{stage.stage}: {stage.failed}')}\n" for stage in rehearsal.stages if stage.failed
    )
    return table(rehearsal.machine, columns, [*map(_row, rehearsal.stages), total]) + "".join(reasons)


def _row(stage: Estimate) -> tuple[str, ...]:
    if stage.seconds is None:
        return (stage.stage, "?", "", "", "", "", "", "", "not measured")
    rate = f"{stage.rate:,.1f}" if stage.rate else ""
    sizes = (_gib(stage.gpu), _gib(stage.ram), _gib(stage.disk + stage.scratch))
    return (
        stage.stage,
        time_text(stage.seconds),
        rate,
        stage.unit,
        *sizes,
        f"{stage.waits:.0%}",
        stage.bound,
    )


def _sizes(rehearsal: Rehearsal) -> tuple[str, str, str]:
    return _gib(rehearsal.gpu), _gib(rehearsal.ram), _gib(rehearsal.disk)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f}" if size else ""


def time_text(seconds: float) -> str:
    """A time for people."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:,.1f} h"


def whole_text(rehearsal: Rehearsal) -> str:
    """The time of the whole; a stage that was not measured makes it more."""
    return f"{'over ' if rehearsal.unmeasured else ''}{time_text(rehearsal.seconds)}"


def _verdict(rehearsal: Rehearsal, allowed: float | None) -> bool:
    """Say whether the whole fits its budget, and what would mend it; whether it does not."""
    from kit.base.log import logger

    longest = rehearsal.longest()
    over = allowed is not None and rehearsal.seconds > allowed
    if rehearsal.unmeasured:
        logger.warning(f"{rehearsal.unmeasured} of {len(rehearsal.stages)} stages were not measured")
    if allowed is not None and (over or not rehearsal.unmeasured):
        fits = "more than" if over else "within"
        logger.warning(f"the whole run takes {whole_text(rehearsal)}, {fits} {time_text(allowed)}")
    if longest is not None and longest.seconds and (over or allowed is None):
        share = longest.seconds / max(rehearsal.seconds, 1e-9)
        part = "what was measured" if rehearsal.unmeasured else "it"
        text = f"{longest.stage} takes most of {part} ({time_text(longest.seconds)}, {share:.0%})"
        logger.warning(f"{text}, bound by: {longest.bound}; what would mend it: {longest.cure}")
    return over
