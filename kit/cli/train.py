"""`kit train`: the stages that learn."""

from __future__ import annotations

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
    from kit.pipeline import prior_stage

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
    from kit.pipeline import spatial_stage

    opened = open_run(config, set_, run)
    report_stage(opened, "spatial", spatial_stage(opened, force), json)
