"""Tables of exp(-eta s) f_c(sqrt s): what two neighbours of an absorber have in common.

s = r_jk^2. Each of n intervals between the squared cutoff and 0 has a polynomial for each eta.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

Array = NDArray[np.float64]

TERMS = 6
"""Coefficients of a polynomial, as in _plan.h."""
SIZES = (12, 16, 20, 24, 32, 40, 48, 56, 64, 80, 96, 128, 192, 256)
RELATIVE_ERROR = 1e-11


def pair_table(eta: tuple[float, ...], cutoff_angstrom: float, n_cutoffs: int) -> Array | None:
    """Coefficients (n_intervals, TERMS, n_eta), constant term first; None where etas are too large.

    With v = n (1 - s / cutoff^2), interval i reaches from v = i - 1/2 to i + 1/2 and holds, as a
    polynomial in v - i, the function divided by v^2. That is smooth and nowhere zero, so that its
    error of 1e-11 is one of the value itself, however small the function is near the cutoff.
    i runs from 0 to n (n_cutoffs = 1), or from -3 n, where s may reach four squared cutoffs (4).
    """
    for n in SIZES:
        interval = np.arange((1 - n_cutoffs) * n, n + 1)
        table = _fit(interval, eta, cutoff_angstrom, n)
        if _error(table, interval, eta, cutoff_angstrom, n) <= RELATIVE_ERROR:
            return table
    return None


def _over_v_squared(v: Array, eta: tuple[float, ...], cutoff: float, n: int) -> Array:
    """The function divided by v^2, with one more axis for eta."""
    s = cutoff**2 * (1.0 - v / n)
    # f_c = sin^2(pi/2 to_cutoff), to_cutoff = v slope, as wacsf.cutoff_function has it; half an
    # interval reaches beyond s = 0, where the root is imaginary and f_c real and smooth
    slope = cutoff / n / (cutoff + np.sqrt(s.astype(np.complex128)))
    fade = ((0.5 * np.pi * slope * np.sinc(0.5 * v * slope)) ** 2).real
    divided: Array = np.exp(-np.array(eta) * s[..., None]) * fade[..., None]
    return divided


def _fit(interval: NDArray[np.int64], eta: tuple[float, ...], cutoff: float, n: int) -> Array:
    """Through the Chebyshev points of each interval."""
    points = chebyshev.chebpts1(TERMS)
    values = _over_v_squared(interval[:, None] + 0.5 * points, eta, cutoff, n)
    series = 2.0 / TERMS * chebyshev.chebvander(points, TERMS - 1).T
    series[0] /= 2.0
    powers = np.zeros((TERMS, TERMS))
    for degree, row in enumerate(np.eye(TERMS)):
        powers[: degree + 1, degree] = chebyshev.cheb2poly(row[: degree + 1])
    from_points = 2.0 ** np.arange(TERMS)[:, None] * (powers @ series)
    table: Array = np.einsum("tp,ipe->ite", from_points, values)
    return table


def _error(
    table: Array, interval: NDArray[np.int64], eta: tuple[float, ...], cutoff: float, n: int
) -> float:
    """The largest relative error, at points between those of the fit."""
    rest = np.linspace(-0.5, 0.5, 23)[:, None]
    wanted = _over_v_squared(interval[:, None] + rest[:, 0], eta, cutoff, n)
    found = np.zeros_like(wanted)
    with np.errstate(all="ignore"):
        for term in range(TERMS - 1, -1, -1):
            found = found * rest + table[:, None, term]
        worst = float(np.abs(found / wanted - 1.0).max())
    return worst if np.isfinite(worst) else np.inf
