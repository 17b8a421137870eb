"""`kit submit`: write and check the submission."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kit.cli.options import ConfigName, Force, Json, Overrides, RunFolder, Scorer


def submit(
    check: Annotated[
        Path | None, typer.Option("--check", help="Check this submission file and do nothing else.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write and check the run's submission, send nothing.")
    ] = False,
    ids: Annotated[
        Path | None,
        typer.Option("--ids", help="Sample submission to check against (default: data.test.ids)."),
    ] = None,
    scorer: Scorer = None,
    config: ConfigName = "mini",
    set_: Overrides = None,
    run: RunFolder = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Predict the test set as far as that is not done, write the submission and check it; or check a file."""
    from kit.cli import show
    from kit.cli.common import open_run, use_threads
    from kit.errors import KitError
    from kit.files import json_text
    from kit.stages.predict import submission_stage
    from kit.stages.splits import split_ids
    from kit.tables.submission_check import check_submission

    if check is None and not dry_run:
        raise KitError("sending is not in this version", "give --dry-run, or --check FILE")
    overrides = [*(set_ or []), *([f"data.test.ids={ids}"] if ids else [])]
    opened = open_run(config, overrides, run)
    if check is None:
        use_threads(opened)
        path, report = submission_stage(opened, scorer.value if scorer else None, force)
    else:
        path, report = check, check_submission(check, split_ids(opened.config, "test"))
    typer.echo(json_text(report.as_dict()) if json else show.report(report), nl=json)
    if not report.ok:
        raise KitError(f"{path}: {len(report.faults)} kinds of faults", "mend them before sending")
    if check is None and not json:
        typer.echo(f"would send {path} ({report.bytes:,} bytes)")
