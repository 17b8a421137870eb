"""What the run cost, stage by stage, and what it was made with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import yaml

from kit.base.errors import KitError
from kit.base.files import read_json
from kit.pipeline.record import REHEARSAL
from kit.report.blocks import Block, Code, Column, Paragraph, Table
from kit.report.results import RunResults


def cost_blocks(results: RunResults) -> Iterator[Block]:
    """Seconds, bytes and main number of every finished stage; memory as a rehearsal measured it."""
    measured, pipeline = _rehearsed(results), results.pipeline
    rows = [
        (
            name,
            record.get("started", "").replace("T", " ").partition("+")[0],
            record["seconds"],
            (measured.get(name) or {}).get("ram") or None,
            (measured.get(name) or {}).get("gpu") or None,
            sum(record["files"].values()),
            pipeline.headline(name),
        )
        for name, record in results.records.items()
    ]
    memory = any(row[3] for row in rows)
    total = sum(record["seconds"] for record in results.records.values())
    columns = (
        Column("Stage", "text"),
        Column("Began (UTC)", "text"),
        Column("Time", "seconds"),
        Column("Memory", "bytes"),
        Column("GPU memory", "bytes"),
        Column("On disk", "bytes"),
        Column("Main number", "text"),
    )
    note = f"{len(rows)} finished stages, {total / 60:.1f} minutes together. "
    note += "Memory as `kit rehearse` found it." if memory else "`kit rehearse` measures the memory."
    yield Table("Time, memory and disk by stage", columns, rows, note)


def configuration_blocks(results: RunResults) -> Iterator[Block]:
    """The machine and packages of the manifest, and the configuration as the run used it."""
    with suppress(KitError):
        manifest = read_json(results.pipeline.run.path / "manifest.json", dict)
        packages = ", ".join(f"{name} {version}" for name, version in manifest["packages"].items() if version)
        source = f", source {manifest['git']}" if manifest.get("git") else ""
        yield Paragraph(
            f"kit {manifest['kit']}{source}; Python {manifest['python']} on {manifest['machine']}; {packages}; "
            f"seed {manifest['seed']}."
        )
    text = yaml.safe_dump(results.config.model_dump(mode="json"), sort_keys=False)
    yield Code("Resolved configuration", text)


def _rehearsed(results: RunResults) -> dict[str, dict[str, Any]]:
    with suppress(KitError, KeyError, TypeError):
        stages = read_json(results.pipeline.run.path / REHEARSAL, dict)["stages"]
        return {stage["stage"]: stage for stage in stages}
    return {}
