"""The page: filters, the image with both sides drawn, its rows."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from kit.report.browse.choice import Choice
from kit.report.browse.gallery import Found, Gallery, Rows
from kit.report.error_examples import KINDS
from kit.tables.schema import Predictions
from kit.vocabulary import PREDICATES, vocabulary

TITLES = {"predictions": "Predictions", "truth": "True relations"}


def page(gallery: Gallery, choice: Choice) -> str:
    """The page of a choice."""
    found = gallery.find(choice)
    rows = gallery.sides.get(choice.side, gallery.sides["predictions"])
    last = len(found.images) - 1
    shown = gallery.shown
    return (
        _environment()
        .get_template("browse.html")
        .render(
            run=shown.pipeline.run.path.absolute().name,
            split=shown.split,
            choice=choice.to(found.at),
            found=found,
            sides={side: TITLES[side] for side in gallery.sides},
            predicates=PREDICATES,
            labels=sorted(vocabulary().names),
            kinds=list(KINDS) if rows.kind is not None else [],
            rows=_rows(rows, found),
            before=choice.query(found.at - 1) if found.at > 0 else None,
            after=choice.query(found.at + 1) if found.at < last else None,
            top=shown.top,
        )
    )


def style() -> str:
    """The style sheet."""
    environment = _environment()
    return "\n".join(environment.get_template(name).render() for name in ("report.css", "browse.css"))


def script() -> str:
    """What the keys do."""
    return _environment().get_template("browse.js").render()


def _rows(rows: Rows, found: Found) -> list[dict[str, Any]]:
    names, table = vocabulary().names, rows.table
    return [
        {
            "subject": names[table.subject[row]],
            "predicate": PREDICATES[table.predicate[row]].replace("_", " "),
            "object": names[table.object[row]],
            "score": float(table.score[row]) if isinstance(table, Predictions) else None,
            "kind": rows.kind_of(row),
        }
        for row in found.rows
    ]


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("kit.report"),
        autoescape=select_autoescape(default=True, disabled_extensions=("css", "js")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
