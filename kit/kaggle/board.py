"""The final board of 2019, as far as its marks are known."""

from __future__ import annotations

MARKS = ((1, 0.4076), (2, 0.38818), (13, 0.30781), (29, 0.13205))  # place, private score


def expected_place(score: float) -> str:
    """The places between whose scores a private score lies: "1st", "3rd to 13th", "after 29th"."""
    ahead = 0
    for place, mark in MARKS:
        if score >= mark:
            first = ahead + 1
            return ordinal(place) if first == place else f"{ordinal(first)} to {ordinal(place)}"
        ahead = place
    return f"after {ordinal(ahead)}"


def ordinal(n: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"
