"""Which labels may judge two models: those whose groups neither has learned from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

RESERVED_SHARE = 0.1


def reserved(groups: NDArray[np.str_], share: float = RESERVED_SHARE) -> Mask:
    """Which labels no training may ever take, (n,): those whose group's hash says so.

    A group is reserved or not for ever, on every machine, whatever else the archive holds; so a
    champion of last year and a candidate of today have both never seen it. About ``share`` of all
    groups.
    """
    names, member = np.unique(groups, return_inverse=True)
    drawn = [hashlib.sha256(b"reserved:" + name.encode()).digest()[:8] for name in names]
    part = np.array([int.from_bytes(d, "big") for d in drawn], dtype=np.float64) / 2.0**64
    return np.asarray((part < share)[member], dtype=np.bool_)


def unseen(groups: NDArray[np.str_], *learned: Iterable[str]) -> Mask:
    """Which labels, (n,), are of groups in none of ``learned``, the groups of each training."""
    known = {str(group) for groups_of_one in learned for group in groups_of_one}
    return np.array([str(group) not in known for group in groups], dtype=np.bool_)
