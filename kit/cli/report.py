"""`kit report`: a run explained on one page; or the figure of balanced sampling alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.base.split_names import SplitName
from kit.cli.options import ConfigName, Json, Overrides, run_place

if TYPE_CHECKING:
    from kit.config import Config
    from kit.session import Session

FORMER = "sampling"  # `kit report sampling`, as it was called in the release before


def report(
    run: Annotated[
        Path | None,
        typer.Argument(
            parser=run_place,
            metavar="RUN",
            help="Folder or address of the run (default: from the config).",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The page (default: report.html in the run).")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    split: Annotated[
        SplitName | None,
        typer.Option(metavar="val|test", help="Whose scores (default: the hidden test's, else val's)."),
    ] = None,
    sampling: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw balanced sampling of the training split alone (figure 4; .png, .pdf, .svg), no page.",
        ),
    ] = None,
    limit: Annotated[
        list[int] | None,
        typer.Option(min=1, help="N of balanced sampling for --sampling; may be repeated.", metavar="N"),
    ] = None,
    config: ConfigName = "mini",
    set_: Overrides = None,
    json: Json = False,
) -> None:
    """Write a run's report: one HTML file with its scores, what is lost where, curves, times, configuration.

    It needs no network and no file beside it. A RUN folder has its own configuration.
    """
    from kit.base.errors import KitError
    from kit.base.log import logger
    from kit.config import load_config
    from kit.session import open_folder, open_run

    if run == Path(FORMER) and not run.exists():
        sampling = out or Path("sampling.png")
        logger.warning(f"note: `kit report {FORMER} --out FILE` is now `kit report --sampling FILE`")
    if split in ("train", "stack"):
        raise KitError(f"--split {split}: the models have learnt from it", "give val or test")
    if sampling is not None:
        return _sampling(sampling, limit or (), load_config(config, set_ or ()), json)
    session = open_run(config, set_ or ()) if run is None else open_folder(run, set_ or ())
    return _page(session, out, split, open_, json)


def _page(session: Session, out: Path | None, split: SplitName | None, show: bool, json: bool) -> None:
    import webbrowser

    from kit.base.errors import printable
    from kit.base.files import json_text
    from kit.report.run_report import FILE, write_report

    path = out or session.path / FILE
    sections = write_report(session.pipeline, path, split)
    empty = [section for section in sections if section.missing]
    if json:
        missing = {section.name: section.missing for section in empty}
        typer.echo(json_text({"file": str(path), "bytes": path.stat().st_size, "missing": missing}), nl=True)
    else:
        for section in empty:
            typer.echo(printable(f"{section.title}: {section.missing}"))
        shown = len(sections) - len(empty)
        typer.echo(printable(f"{shown} of {len(sections)} sections, {path.stat().st_size:,} bytes -> {path}"))
    if show:
        webbrowser.open(path.absolute().as_uri())


def _sampling(out: Path, limits: list[int] | tuple[int, ...], config: Config, json: bool) -> None:
    """Class probabilities of balanced sampling on the training split (the paper's figure 4)."""
    from kit.base.files import json_text
    from kit.cli.common import figure_path
    from kit.detector.class_balanced_sampling import PLAIN, image_counts
    from kit.pipeline.splits import split_boxes
    from kit.report.sampling_figure import curves, draw, usual_limits

    figure_path(out)
    counts = image_counts(split_boxes(config, "train"))
    shown = [PLAIN, *(limits or usual_limits(int(counts.max())))]
    draw(out, counts, shown)
    if json:
        typer.echo(json_text({name: p.tolist() for name, p in curves(counts, shown).items()}))
        return
    for name, p in curves(counts, shown).items():
        typer.echo(f"{name:<12} most likely class {p[0]:.4f}, least likely {p[-1]:.4f}")
    typer.echo(f"{(counts > 0).sum()} classes, {counts.max():,} to {counts.min():,} images -> {out}")
