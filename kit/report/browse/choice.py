"""What the page shows, as its address says it: which rows, and which of their images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal
from urllib.parse import parse_qsl, urlencode

from kit.report.error_examples import KINDS
from kit.vocabulary import PREDICATES, vocabulary

FAINT = 0.05  # score below which predictions are hidden unless they are asked for
Side = Literal["predictions", "truth"]


@dataclass(frozen=True)
class Choice:
    """side: rows of the predictions or of the true relations; predicate, label (a class or an attribute, of either
    object), kind: by name, empty for all; score: the least of predictions; at: the place of the image.
    """

    side: Side = "predictions"
    predicate: str = ""
    label: str = ""
    kind: str = ""
    score: float = FAINT
    at: int = 0

    @classmethod
    def of(cls, query: str) -> Choice:
        """What a query says; what is not understood is as if it were not there."""
        given = dict(parse_qsl(query[:2000]))
        return cls(
            "truth" if given.get("side") == "truth" else "predictions",
            _among(given, "predicate", PREDICATES),
            _among(given, "label", vocabulary().names),
            _among(given, "kind", tuple(KINDS)),
            min(max(_number(given, "score", FAINT), 0.0), 1.0),
            max(int(_number(given, "at", 0.0)), 0),
        )

    def query(self, at: int | None = None) -> str:
        """The query that says this, or this for another image."""
        return urlencode({name: value for name, value in asdict(self.to(at)).items() if value != ""})

    def to(self, at: int | None) -> Choice:
        """The same for another image."""
        return self if at is None else replace(self, at=at)


def _among(given: Mapping[str, str], key: str, names: tuple[str, ...]) -> str:
    value = given.get(key, "")
    return value if value in names else ""


def _number(given: Mapping[str, str], key: str, otherwise: float) -> float:
    try:
        value = float(given.get(key, ""))
    except ValueError:
        return otherwise
    return value if abs(value) < 1e9 else otherwise  # NaN and infinity too
