"""`kit report`: figures of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kit.cli.options import ConfigName, Json, Overrides

app = typer.Typer(no_args_is_help=True, help="Draw figures of a data set.")


@app.callback()
def group() -> None:
    """Keeps the figures' names as commands even while there is only one."""


@app.command(short_help="Balanced sampling by N.", epilog="Example: kit report sampling --out sampling.png")
def sampling(
    out: Annotated[
        Path, typer.Option("--out", help="The figure: .png, .pdf or .svg.", metavar="FILE")
    ] = Path("sampling.png"),
    limit: Annotated[
        list[int] | None, typer.Option(min=1, help="N of balanced sampling; may be repeated.", metavar="N")
    ] = None,
    config: ConfigName = "mini",
    set_: Overrides = None,
    json: Json = False,
) -> None:
    """Class probabilities of balanced sampling on the training split (the paper's figure 4)."""
    from kit.base.files import json_text
    from kit.cli.common import figure_path
    from kit.config import load_config
    from kit.detector.class_balanced_sampling import PLAIN, image_counts
    from kit.pipeline.splits import split_tables
    from kit.report.sampling_figure import curves, draw
    from kit.tables.schema import Boxes

    figure_path(out)
    objects = split_tables(load_config(config, set_ or ()), "train").objects
    assert isinstance(objects, Boxes)
    counts = image_counts(objects)
    limits = [PLAIN, *(limit or _steps(int(counts.max())))]
    draw(out, counts, limits)
    if json:
        typer.echo(json_text({name: p.tolist() for name, p in curves(counts, limits).items()}))
        return
    for name, p in curves(counts, limits).items():
        typer.echo(f"{name:<12} most likely class {p[0]:.4f}, least likely {p[-1]:.4f}")
    typer.echo(f"{(counts > 0).sum()} classes, {counts.max():,} to {counts.min():,} images -> {out}")


def _steps(most: int) -> list[int]:
    """The paper's 10,000 and 1,000 where the data is as large, else a half, a tenth and a fiftieth of it."""
    if most > 10_000:
        return [100_000, 10_000, 1_000][most <= 100_000 :]
    return [max(most // part, 1) for part in (2, 10, 50)]
