"""Scores and what lies behind them as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kit.base.text_table import table

HIDDEN_TEST = "hidden_test"  # in JSON, of a report on the validation split: that of the hidden test, or null
HIDDEN = "hidden test"
NO_HIDDEN_TEST = f"; no figures of a {HIDDEN}"
Row = tuple[Any, ...]


def scores(title: str, result: dict[str, Any]) -> str:
    """The official score: its parts, then one row a predicate.

    result: `Scores.as_dict()`; of the validation split with the same of the hidden test as `hidden_test`, None
    where there is none.
    """
    hidden = result.get(HIDDEN_TEST)
    beside, weights = _parts(hidden) if hidden else {}, (0.4, 0.2, 0.4, "")
    parts = table(
        _title(title, result),
        ("", "value", *([HIDDEN] if hidden else []), "weight"),
        [
            (name, value, *_beside(beside, name), weight)
            for (name, value), weight in zip(_parts(result).items(), weights, strict=True)
        ],
    )
    counts, phrases = result["counts"]["gt_per_predicate"], result["phrases"]
    ap = hidden["relationships"]["AP"] if hidden else {}
    return parts + table(
        "Per predicate",
        ("predicate", "n", "AP", "AP phrase", *([f"AP, {HIDDEN}"] if hidden else [])),
        [
            (p, counts[p], value, phrases["AP"][p], *_beside(ap, p))
            for p, value in result["relationships"]["AP"].items()
        ],
    )


def evaluation(result: dict[str, Any]) -> str:
    """The evaluation of the stage `evaluate-SPLIT`: score, predicates, what detection and candidates lose.

    That of the validation split has that of the hidden test as `hidden_test`, None where there is none.
    """
    hidden = result.get(HIDDEN_TEST)
    detected_scores, truth = result["scores"], result["ground_truth_boxes"]
    boot = result["bootstrap"]
    low = {"final score": boot["final_score"], "Recall@50": boot["Recall@50"]}
    low |= {"mAP relationships": boot["relationships"]["mAP"], "mAP phrases": boot["phrases"]["mAP"]}
    title = _title(f"{result['split']}, {result['scorer']}", result)
    detected, true = _parts(detected_scores), _parts(truth)
    beside = _on_hidden_test(hidden) if hidden else {}
    rows: list[Row] = [
        (name, value, low[name]["low"], low[name]["high"], true[name], *beside.get(name, ()))
        for name, value in detected.items()
    ]
    if "detection_mAP" in result:
        name = "detection mAP"
        rows.append(
            (name, result["detection_mAP"], "", "", "", *beside.get(name, ("", "") if hidden else ()))
        )
    columns = ("", "detected boxes", "low", "high", "true boxes")
    text = table(title, (*columns, *([HIDDEN, f"{HIDDEN}, true boxes"] if hidden else [])), rows)
    hidden_ap = hidden["scores"]["relationships"]["AP"] if hidden else {}
    recall = result.get("pair_recall", {})
    intervals = boot["relationships"]["AP"]
    predicates = []
    for name, ap in detected_scores["relationships"]["AP"].items():
        there = recall.get(name, {})
        shares = [there.get(key, "") for key in ("detected", "candidate", "candidate@50")]
        interval = intervals.get(name, {"low": "", "high": ""})
        n = detected_scores["counts"]["gt_per_predicate"][name]
        own = (interval["low"], interval["high"], *_beside(hidden_ap, name))
        predicates.append((name, n, ap, *own, truth["relationships"]["AP"][name], *shares))
    heads = ("predicate", "n", "AP", "low", "high", *([f"AP, {HIDDEN}"] if hidden else []), "AP, true boxes")
    found = ("detected", "candidate", "candidate@50")
    return text + table(
        "Per predicate; share of relations whose boxes are found", (*heads, *found), predicates
    )


def by_row(title: str, rows: Sequence[dict[str, Any]], heads: dict[str, str]) -> str:
    """A report of rows, those of the validation split with the hidden test's figure as `hidden_test`, or None.

    heads: the keys that are shown, and what their columns are called.
    """
    figures = any(row.get(HIDDEN_TEST) is not None for row in rows)
    if not figures and any(HIDDEN_TEST in row for row in rows):
        title += NO_HIDDEN_TEST
    shown = [key for key in heads if figures or key != HIDDEN_TEST]
    cells = [["" if row[key] is None else row[key] for key in shown] for row in rows]
    return table(title, [heads[key] for key in shown], cells)


def _title(title: str, result: dict[str, Any]) -> str:
    """The title of a report, which says where the hidden test's figures are missing."""
    return title if result.get(HIDDEN_TEST, True) else title + NO_HIDDEN_TEST


def _beside(hidden: dict[str, float], name: str) -> Row:
    """The cell of the hidden test's column, where there is one."""
    return (hidden.get(name, ""),) if hidden else ()


def _on_hidden_test(result: dict[str, Any]) -> dict[str, Row]:
    """A report's figures by name: on detected and on true boxes."""
    true = _parts(result["ground_truth_boxes"])
    own: dict[str, Row] = {name: (value, true[name]) for name, value in _parts(result["scores"]).items()}
    return own | ({"detection mAP": (result["detection_mAP"], "")} if "detection_mAP" in result else {})


def _parts(scores: dict[str, Any]) -> dict[str, float]:
    relationships, phrases = scores["relationships"], scores["phrases"]
    return {
        "mAP relationships": relationships["mAP"],
        "Recall@50": relationships["Recall@50"],
        "mAP phrases": phrases["mAP"],
        "final score": scores["final_score"],
    }


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


def scene_graph(result: dict[str, Any]) -> str:
    """What scene-graph papers print, without "is" as they do and with it, then one row a predicate."""
    plain, whole = result["without_is"], result["with_is"]
    parts = table(
        "As in scene-graph papers: no label is verified, 100 predictions an image",
        ("", 'without "is"', 'with "is"'),
        [(name, value, whole[name]) for name, value in plain.items() if name != "predicates"],
    )
    columns = ("n", *(f"R@{k}" for k in (20, 50, 100)), "AP_rel", "AP_phr")
    rows = {name: whole["predicates"][name] for name in whole["predicates"]} | plain["predicates"]
    return parts + table(
        'Per predicate, without "is" in the lists but for its own row',
        ("predicate", *columns),
        [(name, *(values[column] for column in columns)) for name, values in rows.items()],
    )


SPREAD = ("", "low", "mean", "high", "std")


def _spread(parts: Sequence[tuple[str, dict[str, float]]]) -> list[tuple[Any, ...]]:
    return [(name, v["low"], v["mean"], v["high"], v["std"]) for name, v in parts]
