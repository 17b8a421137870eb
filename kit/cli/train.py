"""`kit train`: the stages that learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from kit.cli.options import ConfigName, Force, Json, Overrides, RunFolder

app = typer.Typer(no_args_is_help=True, help="Train the models of a run.")
Jobs = Annotated[int, typer.Option("--jobs", min=1, help="Stages at a time, each a process.")]


@app.command("all")
def all_(
    config: ConfigName = "mini",
    set_: Overrides = None,
    run: RunFolder = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Do this stage alone. May be repeated.")
    ] = None,
    first: Annotated[str | None, typer.Option("--from", help="Do this stage and all after it again.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run and how long that took before.")
    ] = False,
    jobs: Jobs = 1,
    json: Json = False,
) -> None:
    """Train everything in order; finished stages are skipped, an interrupted one goes on where it was."""
    from kit.cli import show
    from kit.cli.common import open_run, use_threads
    from kit.files import json_text
    from kit.jobs import run_steps
    from kit.progress import notice
    from kit.stages.plan import chosen, states, training_steps

    opened = open_run(config, set_, run)
    use_threads(opened)
    steps = training_steps(opened.config)
    wanted = chosen(steps, only or (), first)
    if not dry_run:
        run_steps(opened, wanted, jobs, force=first is not None)
    found = states(opened, steps, wanted if dry_run and first else ())
    if only and dry_run:
        found = [s for s in found if s.step in wanted]
    rows = [{"stage": s.step.name, "state": s.state, "seconds": s.seconds, "figure": s.figure} for s in found]
    columns = ("stage", "state", "seconds", "main number")
    text = show.table(str(opened.path), columns, [tuple(_shown(v) for v in row.values()) for row in rows])
    typer.echo(json_text(rows) if json else text, nl=json)
    left = [s.seconds for s in found if s.state != "finished"]
    if dry_run and left:
        known = [seconds for seconds in left if seconds is not None]
        notice(f"{len(left)} stages to do; {len(known)} of them took {sum(known):.0f} s before")


def _shown(value: object) -> str:
    return "" if value is None else f"{value:.0f}" if isinstance(value, float) else str(value)


@app.command(hidden=True)
def stage(
    name: str,
    config: ConfigName = "mini",
    set_: Overrides = None,
    run: RunFolder = None,
    force: Force = False,
) -> None:
    """Do one stage of `kit train all`, as its processes do with --jobs."""
    from kit.cli.common import open_run, use_threads
    from kit.stages.plan import chosen, training_steps

    opened = open_run(config, set_, run)
    use_threads(opened)
    for step in chosen(training_steps(opened.config), [name], None):
        step.work(opened, force)


RELATION_STAGES = {
    "prior": "Count P(predicate | subject, object): the baseline.",
    "spatial": "Train the spatio-semantic XGBoost models; counts the prior first where that is missing.",
    "visual": "Train the visual model on the masked union crops, from a trained detector's backbone.",
    "stack": "Train the third stage on the stack split, over the spatial and the visual scores.",
}


def _relation_command(name: str) -> Callable[..., None]:
    def command(
        config: ConfigName = "mini",
        set_: Overrides = None,
        run: RunFolder = None,
        force: Force = False,
        json: Json = False,
    ) -> None:
        from kit.cli.common import open_run, report_stage, use_threads
        from kit.stages import relation

        opened = open_run(config, set_, run)
        if name in ("visual", "stack"):
            use_threads(opened)
        report_stage(opened, name, getattr(relation, f"{name}_stage")(opened, force), json)

    return command


for _name, _help in RELATION_STAGES.items():
    app.command(_name, help=_help)(_relation_command(_name))


@app.command()
def attribute(
    name: Annotated[
        str | None, typer.Argument(help="One of attribute.models (default: all of them).")
    ] = None,
    config: ConfigName = "mini",
    set_: Overrides = None,
    run: RunFolder = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train the "is" detectors: 42 (object, attribute) classes, from the detectors' weights."""
    from kit.cli.common import open_run, report_stage, use_threads
    from kit.errors import KitError
    from kit.stages.attribute import attribute_stage

    opened = open_run(config, set_, run)
    use_threads(opened)
    names = [name] if name else opened.config.attribute.models
    if not names:
        raise KitError("attribute.models is empty", "name a detector in the config")
    for chosen in names:
        report_stage(opened, f"attribute-{chosen}", attribute_stage(opened, chosen, force), json)


@app.command()
def detector(
    name: Annotated[str | None, typer.Argument(help="One of detector.models (default: all of them).")] = None,
    config: ConfigName = "mini",
    set_: Overrides = None,
    run: RunFolder = None,
    only_source: Annotated[
        bool, typer.Option("--only-source", help="Train the source weights only.")
    ] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train Cascade R-CNN detectors by partial weight transfer; their source weights first if there are none.

    Several processes: torchrun --nproc-per-node N --no-python -- kit train detector NAME.
    """
    from kit.cli.common import open_run, report_stage, use_threads
    from kit.errors import KitError
    from kit.stages.detector import detector_stage, source_stage

    opened = open_run(config, set_, run)
    use_threads(opened)
    stage, make = ("source", source_stage) if only_source else ("detector", detector_stage)
    names = [name] if name else list(opened.config.detector.models)
    if not names:
        raise KitError("detector.models is empty", "name a detector in the config")
    for chosen in names:
        report_stage(opened, f"{stage}-{chosen}", make(opened, chosen, force), json)
