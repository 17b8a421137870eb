"""`kit browse`: filter the images of a run, and step through them, in a browser on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kit.base.split_names import SplitName
from kit.cli.options import Scorer, run_place


def browse(
    run: Annotated[
        Path, typer.Argument(parser=run_place, metavar="RUN", help="Folder or address of the run.")
    ] = Path("runs/mini"),
    split: Annotated[
        SplitName | None,
        typer.Option(
            metavar="train|stack|val|test", help="Default: the hidden test where it is scored, else val."
        ),
    ] = None,
    top: Annotated[
        int, typer.Option(min=1, metavar="K", help="Predictions drawn on an image, the surest.")
    ] = 10,
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="Default: a free one.")] = 0,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    scorer: Scorer = None,
) -> None:
    """Serve a page for this machine alone, until Ctrl-C: images by predicate, class, score and kind of error."""
    import webbrowser

    from kit.pipeline.models import check_scorer
    from kit.report.browse.gallery import Gallery
    from kit.report.browse.server import Server
    from kit.report.results import shown_split
    from kit.report.split_images import SplitImages
    from kit.session import open_folder

    pipeline = open_folder(run).pipeline
    config = pipeline.run.config
    chosen = check_scorer(config, scorer or config.relation.scorer)
    gallery = Gallery(SplitImages(pipeline, split or shown_split(pipeline), chosen, top))
    with Server(gallery, port) as server:
        typer.echo(f"{server.url} (Ctrl-C ends it)")
        if open_:
            webbrowser.open(server.url)
        server.serve_forever()
