"""Tables for people, as text."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import Any

from kit.base.errors import printable
from kit.kaggle.board import expected_place
from kit.kaggle.client import Answer
from kit.kaggle.records import Record
from kit.metric.relations import Scores
from kit.tables.submission_check import Report


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows under a title as text; words to the left, numbers to the right, floats with four decimals."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=Text(printable(title)), title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for i, name in enumerate(columns):
        numbers = any(isinstance(row[i], (int, float)) for row in rows)
        grid.add_column(name, justify="right" if numbers else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*(Text(_text(value)) for value in row))
    out = StringIO()
    Console(file=out, width=200, highlight=False).print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def scores(title: str, result: Scores) -> str:
    """The official score: its parts, then one row a predicate."""
    relationships, phrases = result.relationships, result.phrases
    parts = table(
        title,
        ("", "value", "weight"),
        [
            ("mAP relationships", relationships["mAP"], 0.4),
            ("Recall@50 relationships", relationships["Recall@50"], 0.2),
            ("mAP phrases", phrases["mAP"], 0.4),
            ("final score", result.final_score, ""),
        ],
    )
    counts = result.counts["gt_per_predicate"]
    return parts + table(
        "Per predicate",
        ("predicate", "n", "AP", "AP phrase"),
        [(p, counts[p], ap, phrases["AP"][p]) for p, ap in relationships["AP"].items()],
    )


def report(result: Report) -> str:
    """What the submission checker found."""
    text = (
        f"{printable(str(result.path))}: {result.predictions:,} predictions for {result.filled:,} of "
        f"{result.images:,} images, {result.bytes:,} bytes: {'no fault' if result.ok else 'faults'}\n"
    )
    rows = [
        (fault.kind, fault.count, "takes it" if fault.taken else "", fault.first) for fault in result.faults
    ]
    return text + (table("Faults", ("kind", "count", "the metric", "first"), rows) if rows else "")


def to_send(record: Record, left: int | None) -> str:
    """What `kit submit` is about to send."""
    local = "not known (`kit evaluate --split val` tells it)"
    if record.local is not None:
        local = f"{record.local:.4f}, {expected_place(record.local)} on the 2019 board if it holds there"
    rows = {
        "competition": record.competition,
        "file": f"{record.file} ({record.bytes:,} bytes)",
        "message": record.message,
        "local score": local,
        "left today": "Kaggle does not tell" if left is None else str(left),
    }
    return "".join(f"{name:<13}{printable(value)}".rstrip() + "\n" for name, value in rows.items())


def fate(earlier: Record | Answer) -> str:
    """What became of a submission, in a few words; an answer is of one that was sent from elsewhere."""
    if isinstance(earlier, Record) and earlier.state == "sending":
        return f"was sent {earlier.sent}, and whether it arrived is not known"
    when = earlier.sent if isinstance(earlier, Record) else "from elsewhere"
    state = earlier.state if isinstance(earlier, Record) else earlier.status
    scores = {"public": earlier.public, "private": earlier.private}
    told = ", ".join(f"{name} {score:.5f}" for name, score in scores.items() if score is not None)
    return f"was sent {when} as {earlier.ref} ({told or state})"


def scored(record: Record) -> str:
    """The scores of a submission side by side, and where they would have stood in 2019."""
    if record.state != "complete":
        return printable(f"{record.file}: {record.state}, reference {record.ref or 'not known'}") + "\n"
    rows: list[tuple[Any, ...]] = []
    for name, score in (("local", record.local), ("public", record.public), ("private", record.private)):
        ahead = "" if score is None or record.local is None or name == "local" else score - record.local
        rows.append(
            (name, "" if score is None else score, ahead, "" if score is None else expected_place(score))
        )
    return table(f"Submission {record.ref}", ("score", "", "against local", "place on the 2019 board"), rows)


def submissions(records: Sequence[Record]) -> str:
    """All submissions, the oldest first."""
    if not records:
        return "nothing was sent yet\n"
    rows = [
        (
            record.sent or record.created,
            record.ref or "",
            record.state,
            *("" if score is None else score for score in (record.local, record.public, record.private)),
            "" if record.private is None else expected_place(record.private),
            record.sha256[:8],
            record.run or record.file,
            record.message,
            record.error,
        )
        for record in records
    ]
    columns = ("sent (UTC)", "reference", "state", "local", "public", "private", "place in 2019", "file")
    return table("Submissions", (*columns, "from", "message", "error"), rows)


def analysis(result: dict[str, Any], final: float) -> str:
    """The analysis of `kit.metric.analysis`."""
    boot = result["bootstrap"]
    parts = [
        ("final score", boot["final_score"]),
        ("Recall@50", boot["Recall@50"]),
        ("mAP relationships", boot["relationships"]["mAP"]),
        ("mAP phrases", boot["phrases"]["mAP"]),
        *((f"AP {p}", v) for p, v in boot["relationships"]["AP"].items()),
        *((f"AP phrase {p}", v) for p, v in boot["phrases"]["AP"].items()),
    ]
    without = sorted(result["without"].items())
    boards = [(name.replace("_", " "), v) for name, v in result["boards"].items()]
    return (
        table(f"95% intervals over images ({result['resamples']} resamples)", SPREAD, _spread(parts))
        + table(
            "Final score without a predicate",
            ("predicate", "score", "difference"),
            [(p, s, s - final) for p, s in without],
        )
        + table("Simulated boards (30% public, 70% private)", SPREAD, _spread(boards))
        + table(
            "What the false positives are",
            ("kind", "rows", "score gained without them"),
            [(e["kind"], e["rows"], e["score_gain_without"]) for e in result["errors"]],
        )
    )


SPREAD = ("", "low", "mean", "high", "std")


def _spread(parts: Sequence[tuple[str, dict[str, float]]]) -> list[tuple[Any, ...]]:
    return [(name, v["low"], v["mean"], v["high"], v["std"]) for name, v in parts]


def _text(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else printable(str(value))


def size(count: int | None) -> str:
    """Bytes as kB, MB or GB; nothing where they are not known."""
    return "" if count is None else _scaled(count, ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "bytes")))


def duration(seconds: float | None) -> str:
    """Seconds as hours, minutes or seconds; nothing where they are not known."""
    return "" if seconds is None else _scaled(seconds, ((3600, "h"), (60, "min"), (1, "s")))


def _scaled(value: float, units: Sequence[tuple[float, str]]) -> str:
    unit, name = next(((u, n) for u, n in units if value >= u), units[-1])
    return f"{value / unit:,.3g} {name}"


def evaluation(result: dict[str, Any]) -> str:
    """The evaluation of `kit.stages.evaluate`: score, predicates, what detection and candidates lose."""
    own, truth = result["scores"], result["ground_truth_boxes"]
    boot = result["bootstrap"]
    low = {"final score": boot["final_score"], "Recall@50": boot["Recall@50"]}
    low |= {"mAP relationships": boot["relationships"]["mAP"], "mAP phrases": boot["phrases"]["mAP"]}
    title = f"{result['split']}, {result['scorer']}"
    detected, true = _parts(own), _parts(truth)
    rows: list[tuple[Any, ...]] = [
        (name, value, low[name]["low"], low[name]["high"], true[name]) for name, value in detected.items()
    ]
    if "detection_mAP" in result:
        rows.append(("detection mAP", result["detection_mAP"], "", "", ""))
    text = table(title, ("", "detected boxes", "low", "high", "true boxes"), rows)
    recall = result.get("pair_recall", {})
    intervals = boot["relationships"]["AP"]
    predicates = []
    for name, ap in own["relationships"]["AP"].items():
        there = recall.get(name, {})
        shares = [there.get(key, "") for key in ("detected", "candidate", "candidate@50")]
        interval = intervals.get(name, {"low": "", "high": ""})
        n = own["counts"]["gt_per_predicate"][name]
        predicates.append(
            (name, n, ap, interval["low"], interval["high"], truth["relationships"]["AP"][name], *shares)
        )
    columns = (
        "predicate",
        "n",
        "AP",
        "low",
        "high",
        "AP, true boxes",
        "detected",
        "candidate",
        "candidate@50",
    )
    return text + table("Per predicate; share of relations whose boxes are found", columns, predicates)


def _parts(scores: dict[str, Any]) -> dict[str, float]:
    relationships, phrases = scores["relationships"], scores["phrases"]
    return {
        "mAP relationships": relationships["mAP"],
        "Recall@50": relationships["Recall@50"],
        "mAP phrases": phrases["mAP"],
        "final score": scores["final_score"],
    }
