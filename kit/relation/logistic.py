"""Logistic regression on a few columns, with a pull toward given coefficients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
TOLERANCE = 1e-8  # of the gradient's length


def fit_logistic(columns: Doubles, label: NDArray[np.bool_], toward: Doubles, pull: float = 1.0) -> Doubles:
    """Coefficients (k + 1,), the constant last, of lowest log loss plus pull/2 * distance² from `toward`.

    columns: (n, k); label: (n,); toward: (k + 1,), the coefficients that few rows stay near.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    x = np.column_stack([columns, np.ones(len(columns))])

    def loss_and_gradient(weights: Doubles) -> tuple[float, Doubles]:
        z, distance = _times(x, weights), weights - toward
        loss = np.logaddexp(0, z).sum() - z[label].sum() + pull / 2 * (distance**2).sum()
        return float(loss), np.einsum("nk,n->k", x, expit(z) - label) + pull * distance

    def hessian(weights: Doubles) -> Doubles:
        p = expit(_times(x, weights))
        return np.einsum("ni,nj->ij", x * (p * (1 - p))[:, None], x) + pull * np.eye(x.shape[1])

    start, options = np.asarray(toward, np.float64), {"gtol": TOLERANCE}
    fit = minimize(loss_and_gradient, start, jac=True, hess=hessian, method="trust-exact", options=options)
    # it ends where the loss changes by rounding alone; a Newton step from there makes all digits right
    return np.asarray(fit.x - np.linalg.solve(hessian(fit.x), loss_and_gradient(fit.x)[1]), np.float64)


def margin(columns: Doubles, weights: Doubles) -> Doubles:
    """The log-odds of every row."""
    return np.asarray(_times(columns, weights[:-1]) + weights[-1])


def _times(x: Doubles, weights: Doubles) -> Doubles:
    """The product, not by BLAS: its sums would follow the number of its threads."""
    return np.asarray(np.einsum("nk,k->n", x, weights))
