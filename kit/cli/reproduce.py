"""`kit reproduce`: the paper's experiments, several seeds each, on the data of a config."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli.options import ConfigName, Json, Overrides

if TYPE_CHECKING:
    from kit.reproduce.study import Study

Seeds = Annotated[int, typer.Option("--seeds", min=1, help="How many seeds.")]
Jobs = Annotated[int, typer.Option("--jobs", min=0, help="Runs at a time (0: one a processor).")]
Out = Annotated[Path | None, typer.Option("--out", help="Where the runs and results go (default: RUN-NAME).")]
app = typer.Typer(no_args_is_help=True, help="Repeat the paper's experiments.")


@app.command()
def table1(
    config: ConfigName = "mini",
    set_: Overrides = None,
    seeds: Seeds = 3,
    jobs: Jobs = 0,
    out: Out = None,
    json: Json = False,
) -> None:
    """From scratch, new heads, partial weight transfer, blend and views (the paper's table 1)."""
    from kit.reproduce.table1 import run_table1

    _reproduce("table1", run_table1, config, set_, seeds, jobs, out, json)


@app.command()
def sampling(
    config: ConfigName = "mini",
    set_: Overrides = None,
    seeds: Seeds = 3,
    jobs: Jobs = 0,
    out: Out = None,
    json: Json = False,
) -> None:
    """Class-balanced sampling: N from small to infinite (paper 3)."""
    from kit.reproduce.sampling import run_sampling

    _reproduce("sampling", run_sampling, config, set_, seeds, jobs, out, json)


@app.command()
def table3(
    config: ConfigName = "mini",
    set_: Overrides = None,
    seeds: Seeds = 3,
    jobs: Jobs = 0,
    out: Out = None,
    json: Json = False,
) -> None:
    """Spatial, visual, average and stack per predicate (the paper's table 3)."""
    from kit.reproduce.table3 import run_table3

    _reproduce("table3", run_table3, config, set_, seeds, jobs, out, json, shared="pipeline")


@app.command()
def table4(
    config: ConfigName = "mini",
    set_: Overrides = None,
    seeds: Seeds = 3,
    jobs: Jobs = 0,
    out: Out = None,
    json: Json = False,
) -> None:
    """The relation "is" by attribute, best and worst class (the paper's table 4)."""
    from kit.reproduce.table4 import run_table4

    _reproduce("table4", run_table4, config, set_, seeds, jobs, out, json, shared="pipeline")


@app.command()
def ablation(
    config: ConfigName = "mini",
    set_: Overrides = None,
    seeds: Seeds = 3,
    jobs: Jobs = 0,
    out: Out = None,
    json: Json = False,
) -> None:
    """The final score without each part of the pipeline."""
    from kit.reproduce.ablation import run_ablation

    _reproduce("ablation", run_ablation, config, set_, seeds, jobs, out, json, shared="pipeline")


def _reproduce(
    name: str,
    run: Callable[[Study], dict[str, Any]],
    config: str,
    overrides: list[str] | None,
    seeds: int,
    jobs: int,
    out: Path | None,
    json: bool,
    shared: str = "",
) -> None:
    """Run an experiment and print it; shared: the folder that several experiments use together."""
    from kit.cli import show
    from kit.config import load_config
    from kit.files import json_text, write_json
    from kit.progress import notice
    from kit.reproduce.study import Study

    loaded = load_config(config, overrides or ())
    folder = out or loaded.run.with_name(f"{loaded.run.name}-{shared or name}")
    result = run(Study(loaded, folder, range(seeds), jobs))
    write_json(folder / f"{name}.json", result)
    if json:
        typer.echo(json_text(result))
    else:
        columns = list(dict.fromkeys(key for row in result["rows"] for key in row))
        rows = [[row.get(c, "") for c in columns] for row in result["rows"]]
        typer.echo(show.table(f"{name}, {seeds} seeds", columns, rows), nl=False)
        claims = [(c["text"], "yes" if c["holds"] else "NO", c["figures"]) for c in result["claims"]]
        typer.echo(show.table("What the paper says", ("", "here", ""), claims), nl=False)
    notice(f"saved in {folder}")
