"""`kit download`: put the data that the config names in place."""

from __future__ import annotations

import typer

from kit.cli.options import ConfigName, Force, Overrides


def download(config: ConfigName = "mini", set_: Overrides = None, force: Force = False) -> None:
    """Generate the mini challenge into data.root (data.source: mini)."""
    from kit.config import load_config
    from kit.data.mini import build_mini, is_built
    from kit.errors import KitError
    from kit.progress import notice, track

    data = load_config(config, set_ or ()).data
    if data.source != "mini":
        raise KitError(
            f"data.source is {data.source}: this version generates the mini challenge only",
            f"put the published files below {data.root}, named as in the config",
        )
    if is_built(data.root, data.mini) and not force:
        notice(f"{data.root}: the mini challenge is there already")
        return
    for path in build_mini(data.root, data.mini, track):
        typer.echo(path)
