"""`kit submit`: write, check and send the submission."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.base.errors import KitError, printable
from kit.cli.options import Force, Json, Overrides, RunFolder, Scorer
from kit.session import Session, open_run

if TYPE_CHECKING:
    from kit.config import Config
    from kit.kaggle.client import Answer, Client
    from kit.kaggle.records import Record
    from kit.pipeline.run import Run
    from kit.tables.image_index import ImageIndex
    from kit.tables.submission_check import SubmissionReport


def submit(
    file: Annotated[
        Path | None, typer.Argument(help="A submission file (default: the run's, written first).")
    ] = None,
    message: Annotated[
        str, typer.Option("--message", "-m", help="What Kaggle keeps beside it.", metavar="TEXT")
    ] = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the score.")] = True,
    check: Annotated[
        Path | None,
        typer.Option("--check", help="Check this submission file and do nothing else.", metavar="FILE"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write and check it, send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Send without asking.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Send a file that was, or may have been, sent before.")
    ] = False,
    send_anyway: Annotated[
        bool,
        typer.Option(
            "--send-anyway", help="Let pass the faults of which --check says that the metric takes them."
        ),
    ] = False,
    ids: Annotated[
        Path | None,
        typer.Option(
            "--ids", help="Sample submission to check against (default: data.test.ids).", metavar="FILE"
        ),
    ] = None,
    scorer: Scorer = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config", "-c", help="A YAML file or a name (default: FILE's run, else mini).", metavar="NAME"
        ),
    ] = None,
    set_: Overrides = None,
    run: RunFolder = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Predict the test set as far as that is not done, write the submission, check it, send it to Kaggle and
    wait for its score; or check or send a given file. What was sent is kept in `submissions/`.
    """
    from json import dumps

    from kit.base.files import json_text
    from kit.cli import show

    if check is not None and file is not None:
        raise KitError("give a FILE to send or a file to --check, not both")
    overrides = [*(set_ or []), *([f"data.test.ids={dumps(str(ids))}"] if ids else [])]
    opened = _open(check or file, config, overrides, run)
    sending = check is None and not dry_run
    if sending:
        _can_send(opened.config)
    path, report = _written(opened, check or file, scorer, force)
    if not sending or not report.ok:
        typer.echo(json_text(report.as_dict()) if json else show.report(report), nl=json)
    if not report.ok:
        _judge_faults(path, report, send_anyway)
    if sending:
        record = _send(opened.run, path, message, wait, yes, again)
        typer.echo(json_text(vars(record)) if json else show.scored(record), nl=json)
        if record.state == "error":
            raise KitError(f"Kaggle refused {path}: {record.error}", "mend it and send it anew")
    elif check is None and not json:
        typer.echo(printable(f"would send {path} ({report.bytes:,} bytes)"))


def _judge_faults(path: Path, report: SubmissionReport, send_anyway: bool) -> None:
    """Faults stop the sending, but for those that the metric takes where the user says so."""
    from kit.base.log import logger

    count = len(report.faults)
    text = f"{path}: {count} {'kind' if count == 1 else 'kinds'} of faults"
    left = [fault.kind for fault in report.faults if not fault.taken]
    if left and send_anyway:
        raise KitError(
            f"{text}; --send-anyway does not let pass: {', '.join(left)}", "mend them before sending"
        )
    if left:
        raise KitError(text, "mend them before sending")
    if not send_anyway:
        raise KitError(text, "mend them, or send it with --send-anyway: the metric takes them")
    logger.warning(f"{text}, which the metric takes")


def _open(file: Path | None, config: str | None, overrides: list[str], folder: Path | None) -> Session:
    """The run of the file, where a run wrote it; else the one that the options name."""
    from kit.pipeline.sending import run_of

    folder_of_file = run_of(file) if file is not None and folder is None and config is None else None
    if folder_of_file:
        return open_run(str(folder_of_file / "config.yaml"), overrides, folder_of_file)
    return open_run(config or "mini", overrides, folder)


def _can_send(config: Config) -> None:
    """What stands in the way of sending, told before hours of prediction. Raises KitError."""
    from importlib.util import find_spec

    from kit.base.log import logger
    from kit.kaggle.client_errors import no_credentials
    from kit.kaggle.credentials import open_to_others, sources

    if config.data.source == "mini":
        raise KitError("Kaggle does not score the mini challenge", "give --dry-run, or --config layer6")
    if find_spec("kaggle") is None:
        raise ModuleNotFoundError(name="kaggle")
    if not sources():
        raise no_credentials()
    for exposed in open_to_others():
        logger.warning(f"warning: others can read {exposed}; chmod 600 it")


def _written(
    session: Session, file: Path | None, scorer: str | None, force: bool
) -> tuple[Path, SubmissionReport]:
    from kit.pipeline.images import say_left_out
    from kit.pipeline.splits import split_index
    from kit.pipeline.stages.submission import file_name, submission_stage
    from kit.tables.submission_check import check_submission

    if file is not None:
        return file, check_submission(file, _ids(session.config))
    session, chosen = session.for_scorer(scorer)
    config = session.config
    stage = submission_stage(config, chosen)
    session.make(stage, force=force)
    say_left_out(session.pipeline, stage)
    path = session.folder(stage) / file_name(config)
    return path, check_submission(path, split_index(config, "test"))


def _ids(config: Config) -> ImageIndex:
    """The test images. Raises KitError where the list is not there: outside a run --ids gives it."""
    from kit.pipeline.splits import split_index

    listed = config.data.test.ids
    if listed is None or not listed.exists():
        what = "data.test.ids is not set" if listed is None else f"{listed}: no such file"
        raise KitError(f"the list of test images: {what}", "give the sample submission with --ids FILE")
    return split_index(config, "test")


def _send(run: Run, path: Path, message: str, wait: bool, yes: bool, again: bool) -> Record:
    from kit.base.log import logger
    from kit.kaggle.client import Client
    from kit.kaggle.reconcile import close_interrupted, find_earlier, list_submissions, reconcile
    from kit.kaggle.records import OPEN, lock_records, new_record, read_records
    from kit.kaggle.send import send
    from kit.pipeline.sending import local_score, run_of, scorer_of

    settings = run.config.kaggle
    folder_of_file = run_of(path)
    of_run = folder_of_file is not None and folder_of_file == run.path.resolve()
    record = new_record(
        settings.competition,
        path,
        message,
        local=local_score(run, path) if of_run else None,
        run=str(run.path) if of_run else None,
        scorer=scorer_of(run, path) if of_run else None,
        config=run.config.model_dump(mode="json") if of_run else None,
    )
    client, folder = Client(settings.competition, run.config.data.download.retry_policy()), settings.records
    listed = list_submissions(client)
    with lock_records(folder):
        before = read_records(folder)
        close_interrupted(before, folder)
        if listed is not None:
            reconcile(client, before, listed, folder)
    earlier = find_earlier(record, before, listed)
    _may_send(client, record, earlier, yes, again)
    with lock_records(folder):
        known = {r.id for r in before}
        if find_earlier(record, [r for r in read_records(folder) if r.id not in known], None):
            raise KitError("this very file was sent by another kit meanwhile", "see `kit submissions`")
        send(client, record, folder)
    logger.info(f"sent as {record.ref or 'yet unknown'}")
    if wait:
        _wait(client, record, folder, settings.wait)
    if record.state in OPEN:
        logger.info("no score yet: `kit submissions` shows it later")
    return record


def _wait(client: Client, record: Record, folder: Path, longest: float) -> None:
    """Wait for the score; the submission is sent, whatever happens here."""
    from kit.base.log import logger
    from kit.kaggle.send import wait_for_score

    logger.info("waiting for the score; stopping does no harm, `kit submissions` shows it later")
    try:
        wait_for_score(client, record, folder, longest)
    except KitError as error:
        logger.warning(f"no news of the score: {error}")


def _may_send(
    client: Client, record: Record, earlier: Record | Answer | None, yes: bool, again: bool
) -> None:
    """Show what would be sent and ask. Raises KitError where it shall not be sent."""
    from kit.cli import show

    left = client.remaining()
    typer.echo(show.to_send(record, left), err=True, nl=False)
    if left == 0:
        raise KitError("no submission is left today", "Kaggle counts anew at 00:00 UTC")
    if earlier and not again:
        text = f"this very file {show.fate(earlier)}"
        if yes:
            raise KitError(text, "give --again to send it once more")
        _ask(f"{text}. Send it once more?", "give --again")
    elif not yes:
        _ask("Send it?", "give --yes")


def _ask(question: str, instead: str) -> None:
    """Go on only with a yes."""
    import sys

    typer.echo(f"{question} [y/N] ", err=True, nl=False)
    answer = sys.stdin.readline()
    if not answer:
        raise KitError("nothing was sent: nobody answered", instead)
    if answer.strip().lower() not in ("y", "yes"):
        raise KitError("nothing was sent")
