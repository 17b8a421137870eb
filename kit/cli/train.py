"""`kit train`: the stages that learn."""

from __future__ import annotations

from typing import Annotated

import typer

from kit.cli.options import ConfigName, Force, Json, Overrides, RunFolder

app = typer.Typer(no_args_is_help=True, help="Train the models of a run.")


@app.command()
def prior(
    config: ConfigName = "mini",
    set_: Overrides = None,
    run: RunFolder = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Count P(predicate | subject, object): the baseline."""
    from kit.cli.common import open_run, report_stage
    from kit.stages.relation import prior_stage

    opened = open_run(config, set_, run)
    report_stage(opened, "prior", prior_stage(opened, force), json)


@app.command()
def spatial(
    config: ConfigName = "mini",
    set_: Overrides = None,
    run: RunFolder = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train the spatio-semantic XGBoost models; counts the prior first where that is missing."""
    from kit.cli.common import open_run, report_stage
    from kit.stages.relation import spatial_stage

    opened = open_run(config, set_, run)
    report_stage(opened, "spatial", spatial_stage(opened, force), json)


@app.command()
def detector(
    name: Annotated[str | None, typer.Argument(help="One of detector.models (default: all of them).")] = None,
    config: ConfigName = "mini",
    set_: Overrides = None,
    run: RunFolder = None,
    only_source: Annotated[
        bool, typer.Option("--only-source", help="Train the source weights only.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Detectors at a time, each a process.")] = 1,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train Cascade R-CNN detectors by partial weight transfer; their source weights first if there are none.

    Several processes: torchrun --nproc-per-node N --no-python -- kit train detector NAME.
    """
    from kit.cli.common import open_run, report_stage, use_threads
    from kit.jobs import train_apart
    from kit.stages.detector import detector_stage, source_stage

    opened = open_run(config, set_, run)
    use_threads(opened)
    stage, make = ("source", source_stage) if only_source else ("detector", detector_stage)
    names = [name] if name else list(opened.config.detector.models)
    if jobs > 1 and len(names) > 1:
        train_apart(opened, names, jobs, only_source, force)
        force = False
    for chosen in names:
        report_stage(opened, f"{stage}-{chosen}", make(opened, chosen, force), json)
