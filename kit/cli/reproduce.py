"""`kit reproduce`: the paper's experiments, several seeds each, on the data of a config."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from kit.cli.options import ConfigName, Json, Overrides

Seeds = Annotated[int, typer.Option("--seeds", min=1, help="How many seeds.", metavar="N")]
Jobs = Annotated[
    int, typer.Option("--jobs", min=0, help="Runs at a time (0: as many as processors do).", metavar="N")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Where the runs and results go (default: RUN-NAME).", metavar="FILE"),
]
app = typer.Typer(no_args_is_help=True, help="Repeat the paper's experiments.")


PIPELINE = "pipeline"  # the folder of the experiments that share whole runs
EXPERIMENTS = {
    "table1": ("Where the weights start, blend and views (table 1).", "table1"),
    "sampling": ("Balanced sampling: N from small to infinite (paper 3).", "sampling"),
    "table3": ("The scorers of the pairs, per predicate (table 3).", PIPELINE),
    "table4": ('"Is" by attribute, best and worst class (table 4).', PIPELINE),
    "early-stopping": (
        "Boosting stopped by AP or by log loss (paper 3.1).",
        "early-stopping",
    ),
    "learning-curves": (
        "A model a predicate, or one for all (paper 2.2).",
        "learning-curves",
    ),
    "ablation": ("The final score without each part of the pipeline.", PIPELINE),
}


def _command(name: str, folder: str) -> Callable[..., None]:
    def command(
        config: ConfigName = "ensemble",
        set_: Overrides = None,
        seeds: Seeds = 3,
        jobs: Jobs = 0,
        out: Out = None,
        json: Json = False,
    ) -> None:
        from importlib import import_module

        from kit.base.errors import KitError
        from kit.base.files import json_text, write_json
        from kit.base.log import logger
        from kit.base.remote_place import address_of
        from kit.config import load_config
        from kit.reproduce.experiment import Experiment

        loaded = load_config(config, set_ or ())
        if out is None and (address := address_of(loaded.run)) is not None:
            raise KitError(
                f"{address}: experiments are made in a folder of this machine", "give it with --out"
            )
        place = out or loaded.run.with_name(f"{loaded.run.name}-{folder}")
        module = name.replace("-", "_")
        experiment = getattr(import_module(f"kit.reproduce.{module}"), f"run_{module}")
        result = experiment(Experiment(loaded, place, range(seeds), jobs))
        write_json(place / f"{name}.json", result)
        metric = f", {result['metric']}" if "metric" in result else ""
        typer.echo(json_text(result) if json else _text(f"{name}, {seeds} seeds{metric}", result), nl=json)
        logger.info(f"saved in {place}")

    return command


for _name, (_help, _folder) in EXPERIMENTS.items():
    app.command(_name, help=_help, epilog=f"Example: kit reproduce {_name} --seeds 3")(
        _command(_name, _folder)
    )


def _text(title: str, result: dict[str, Any]) -> str:
    from kit.base.text_table import table

    columns = list(dict.fromkeys(key for row in result["rows"] for key in row))
    rows = [[row.get(c, "") for c in columns] for row in result["rows"]]
    claims = [(c["text"], "yes" if c["holds"] else "NO", c["figures"]) for c in result["claims"]]
    return table(title, columns, rows) + table("What the paper says", ("", "here", ""), claims)
