"""Logistic regression on a few columns, by Newton's method with a pull toward given coefficients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
STEPS = 50
DONE = 1e-8


def fit_logistic(columns: Doubles, label: NDArray[np.bool_], toward: Doubles, pull: float = 1.0) -> Doubles:
    """Coefficients (k + 1,), the constant last, that make the labels likeliest less pull/2 * distance².

    columns: (n, k); label: (n,); toward: (k + 1,), the coefficients that few rows stay near.
    """
    x = np.column_stack([columns, np.ones(len(columns))])
    weights = np.asarray(toward, np.float64).copy()
    value = _objective(x, label, weights, toward, pull)
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(_times(x, weights), -30, 30)))
        gradient = np.einsum("nk,n->k", x, p - label) + pull * (weights - toward)
        spread = x * (p * (1 - p))[:, None]
        curvature = np.einsum("ni,nj->ij", spread, x) + pull * np.eye(x.shape[1])
        step = np.linalg.solve(curvature, gradient)
        length = 1.0
        while True:  # a full Newton step may overshoot where the labels are separable
            new = weights - length * step
            better = _objective(x, label, new, toward, pull)
            if better <= value or length < DONE:
                break
            length /= 2
        weights = new
        if value - better < DONE * (1 + abs(value)):
            break
        value = better
    return weights


def margin(columns: Doubles, weights: Doubles) -> Doubles:
    """The log-odds of every row."""
    return np.asarray(_times(columns, weights[:-1]) + weights[-1])


def _objective(x: Doubles, label: NDArray[np.bool_], weights: Doubles, toward: Doubles, pull: float) -> float:
    z = _times(x, weights)
    loss = np.logaddexp(0, z).sum() - z[label].sum()
    return float(loss + pull / 2 * ((weights - toward) ** 2).sum())


def _times(x: Doubles, weights: Doubles) -> Doubles:
    """The product, not by BLAS: its sums would follow the number of its threads."""
    return np.asarray(np.einsum("nk,k->n", x, weights))
