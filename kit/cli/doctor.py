"""`kit doctor`: whether machine, installation and surroundings are fit for a run."""

from __future__ import annotations

from dataclasses import asdict

import typer

from kit.cli.options import ConfigName, Json, Overrides, RunFolder


def doctor(
    config: ConfigName = "mini", set_: Overrides = None, run: RunFolder = None, json: Json = False
) -> None:
    """Look at Python, packages, GPU, cores, memory, disk, credentials and hosts, for a run of this config.

    Every line is OK, WARN or FAIL, with the one command that mends it. Exit code 1 where something fails.
    """
    from kit.base.errors import printable
    from kit.base.files import json_text
    from kit.base.version import __version__
    from kit.config import load_config
    from kit.doctor.examine import examine, worst

    settings = load_config(config, set_ or ())
    checks = examine(settings, run or settings.run)
    if json:
        state = worst(checks)
        typer.echo(json_text({"kit": __version__, "state": state, "checks": [asdict(c) for c in checks]}))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            typer.echo(f"{check.state:<4}  {check.name:<{width}}  {printable(check.found)}")
            if check.cure:
                typer.echo(f"{'':<{width + 6}}  → {printable(check.cure)}")
    raise typer.Exit(worst(checks) == "FAIL")
