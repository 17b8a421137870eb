"""`kit config`: the resolved configuration."""

from __future__ import annotations

import typer

from kit.cli.options import ConfigName, Json, Overrides


def show(config: ConfigName = "mini", set_: Overrides = None, json: Json = False) -> None:
    """Print the configuration after file and --set, as a run would use it."""
    import yaml

    from kit.base.files import json_text
    from kit.config import load_config

    values = load_config(config, set_ or ()).model_dump(mode="json")
    typer.echo(json_text(values) if json else yaml.safe_dump(values, sort_keys=False).rstrip())
