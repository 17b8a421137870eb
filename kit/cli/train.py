"""`kit train`: the stages that learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli.options import Jobs, RunOptions, run_command

if TYPE_CHECKING:
    from kit.pipeline.pipeline import Pipeline

app = typer.Typer(no_args_is_help=True, help="Train the models of a run.")
Model = Annotated[str | None, typer.Argument(metavar="NAME", help="A detector of the config (default: all).")]


@app.command("all", short_help="Train everything in order.", epilog="Example: kit train all --jobs 2")
@run_command
def all_(
    options: RunOptions,
    *,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="STAGE", help="Do this stage alone. May be repeated."),
    ] = None,
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="STAGE", help="Do this stage, and all that needs it, again."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would run, why, what is missing, how long it took before."),
    ] = False,
    jobs: Jobs = 1,
) -> None:
    """Train everything in order; finished stages are skipped, an interrupted one goes on where it was."""
    pipeline = options.session.pipeline
    names, again = _chosen(pipeline, only or (), first)
    again = names if options.force else again
    if dry_run:
        raise typer.Exit(_show(pipeline, names, again, options.json, alone=bool(only)))
    from kit.pipeline.executor import make_stages

    make_stages(pipeline, names, jobs, again)
    _show(pipeline, pipeline.training, (), options.json)


def _chosen(pipeline: Pipeline, only: Sequence[str], first: str | None) -> tuple[list[str], list[str]]:
    """The stages to make, and those of them that are made again though they are fresh. Raises KitError."""
    from kit.base.errors import KitError

    if only and first is not None:
        raise KitError("--only and --from exclude each other", "give one of them")
    if first is not None:
        names = pipeline.descendants(first, pipeline.training)
        return names, names
    if only:
        for name in only:
            pipeline.stage(name)
        return [name for name in pipeline.stages if name in only], []
    return pipeline.training, []


def _show(
    pipeline: Pipeline, names: Sequence[str], again: Sequence[str], json: bool, *, alone: bool = False
) -> int:
    """Print the stages' states; 1 where an input is missing. alone: nothing that they need is made either."""
    from kit.base.files import json_text
    from kit.base.log import logger
    from kit.base.text_table import table
    from kit.session import status_rows

    rows = [row for row in status_rows(pipeline, names, again, alone=alone) if row["stage"] in names]
    columns = ("stage", "state", "seconds", "main number", "why")
    cells = [
        (row["stage"], row["state"], _shown(row["seconds"]), row["headline"], (row["why"] or [""])[0])
        for row in rows
    ]
    text = table(str(pipeline.run.path), columns, cells)
    typer.echo(json_text(rows) if json else text, nl=json)
    left: list[Any] = [row["seconds"] for row in rows if row["state"] != "finished"]
    if left:
        known = [seconds for seconds in left if seconds is not None]
        logger.info(f"{len(left)} stages to do; {len(known)} of them took {sum(known):.0f} s before")
    missing = dict.fromkeys(text for row in rows for text in row["missing"])
    for text in missing:
        logger.warning(f"missing: {text}")
    return 1 if missing else 0


def _shown(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.0f}"


@app.command(short_help="Count P(predicate | subject, object).", epilog="Example: kit train prior")
@run_command
def prior(options: RunOptions) -> None:
    """Count P(predicate | subject, object): the baseline."""
    _train(options, ["prior"])


@app.command(
    short_help="Train XGBoost on pair features.",
    epilog="Example: kit train spatial --set relation.spatial.rounds=100",
)
@run_command
def spatial(options: RunOptions) -> None:
    """Train the spatio-semantic XGBoost models; counts the prior first where that is missing."""
    _train(options, ["spatial"])


@app.command(short_help="Train the CNN on pairs of objects.", epilog="Example: kit train visual")
@run_command
def visual(options: RunOptions) -> None:
    """Train the visual model on masked union crops or regions, from a trained detector's backbone."""
    from kit.pipeline.models import check_scorer

    check_scorer(options.session.config, "visual")
    _train(options, ["visual"])


@app.command(short_help="Train XGBoost over both scores.", epilog="Example: kit train stack")
@run_command
def stack(options: RunOptions) -> None:
    """Train the third stage on the stack split, over the spatial and the visual scores."""
    _train(options, ["stack"])


@app.command(short_help="Train detectors of the 57 classes.", epilog="Example: kit train detector resnext")
@run_command
def detector(
    options: RunOptions,
    *,
    name: Model = None,
    only_source: Annotated[
        bool, typer.Option("--only-source", help="Train the source weights only.")
    ] = False,
) -> None:
    """Train Cascade R-CNN detectors by partial weight transfer; their source weights first if there are none.

    N GPUs: --set detector.processes=N. Several machines: torchrun ... --no-python -- kit train detector NAME.
    """
    from kit.base.errors import KitError
    from kit.pipeline.detector_task import OBJECTS, detector_model

    config = options.session.config
    names = [name] if name else OBJECTS.models(config)
    if not names:
        raise KitError("detector.models is empty", "name a detector in the config")
    for model in names:
        detector_model(config, model)
    stages = [f"source-{model}" if only_source else OBJECTS.detector(model) for model in names]
    if only_source:
        stages = [stage for stage in stages if stage in options.session.pipeline.stages]
    _train(options, stages)


@app.command(short_help='Train detectors of the relation "is".', epilog="Example: kit train attribute")
@run_command
def attribute(options: RunOptions, *, name: Model = None) -> None:
    """Train the "is" detectors: 42 (object, attribute) classes, from the detectors' weights."""
    from kit.base.errors import KitError
    from kit.pipeline.detector_task import ATTRIBUTES

    models = ATTRIBUTES.models(options.session.config)
    if not models:
        raise KitError("attribute.models is empty", "name a detector in the config")
    if name and name not in models:
        raise KitError(f"attribute.models has no {name}", f"it has: {', '.join(models)}")
    _train(options, [ATTRIBUTES.detector(model) for model in ([name] if name else models)])


def _train(options: RunOptions, stages: Sequence[str]) -> None:
    from kit.cli.common import report_stage

    for stage in stages:
        record = options.session.make(stage, force=options.force)[stage]
        report_stage(options.session.path, stage, record, options.json)
