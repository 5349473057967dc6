"""What a model looks at: how much worse it becomes when a feature tells it nothing.

Permutation importance (Breiman, Machine Learning 45, 5 (2001)), by scikit-learn: the values of a
feature are dealt to other labels, and the error of the predictions rises. Rankine and Penfold did
so for their network, J. Chem. Phys. 156, 164102 (2022).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from model_store.bundle import Bundle
from model_store.runtime import Session
from trainer.prediction import on_grid
from xas.errors import Reject
from xas.measures import percentage_error

Array = NDArray[np.float64]
Tell = Callable[[int, int], None]

WHOLE = "whole spectrum"


def untold(_done: int, _total: int) -> None:
    """Tells nobody how far it is."""


class Importance(Struct, frozen=True, kw_only=True):
    """Of one feature, or of several that are dealt together, for each window of energies.

    rise    window -> by how much the mean error rises, percentage points
    spread  window -> standard deviation of that over the repeats
    """

    name: str
    rise: dict[str, float]
    spread: dict[str, float]


def windows_of(
    energy: Array, edge_ev: float, split_ev: float = 15.0
) -> dict[str, NDArray[np.bool_]]:
    """The whole spectrum, and what lies below and above ``split_ev`` after the edge."""
    below = energy <= edge_ev + split_ev
    if below.all() or not below.any():
        raise Reject(
            f"the energies {energy[0]:g} to {energy[-1]:g} eV do not lie on both sides of "
            f"{edge_ev + split_ev:g} eV; choose the windows"
        )
    middle = f"{edge_ev + split_ev:g} eV"
    return {
        WHOLE: np.ones_like(below),
        f"up to {middle}": below,
        f"above {middle}": ~below,
    }


def importance(
    bundle: Bundle,
    features: Array,
    target: Array,
    energy: Array,
    blocks: Mapping[str, Sequence[int]],
    windows: Mapping[str, NDArray[np.bool_]],
    *,
    repeats: int = 3,
    seed: int = 2022,
    tell: Tell = untold,
) -> list[Importance]:
    """Of each block of columns (name -> columns), the most important for the first window first.

    features (n, n_features), target (n, n_energy) on energy (n_energy,) eV. Every label keeps its
    columns of other blocks; those of one block come from one other label together. Raises Reject
    where scikit-learn is missing.
    """
    permutation_importance = _permutation_importance()
    model = _Dealt(Session(bundle), features, list(blocks.values()), energy)
    total = repeats * len(blocks) + 1
    done = 0

    def score(dealt: _Dealt, rows: NDArray[np.int64], wanted: Array) -> dict[str, float]:
        nonlocal done
        done += 1
        tell(done, total)
        said = dealt.predict(rows)
        return {
            name: -float(percentage_error(said[:, part], wanted[:, part]).mean())
            for name, part in windows.items()
        }

    rows = np.repeat(np.arange(len(features))[:, None], len(blocks), axis=1)
    found = permutation_importance(
        model, rows, target, scoring=score, n_repeats=repeats, random_state=seed
    )
    named = [
        Importance(
            name=name,
            rise={w: float(found[w].importances_mean[i]) for w in windows},
            spread={w: float(found[w].importances_std[i]) for w in windows},
        )
        for i, name in enumerate(blocks)
    ]
    first = next(iter(windows))
    return sorted(named, key=lambda one: -one.rise[first])


class _Dealt:
    """A model whose input says, for each block, from which label its columns are taken.

    So scikit-learn, which deals out one column at a time, deals out whole blocks.
    """

    def __init__(
        self, session: Session, features: Array, blocks: list[Sequence[int]], energy: Array
    ) -> None:
        self._session, self._energy = session, energy
        self._own = np.asarray(session.bundle.manifest.output.energy_ev)
        self._features = features.astype(np.float32)
        self._columns = np.concatenate([np.asarray(columns) for columns in blocks])
        self._block = np.repeat(np.arange(len(blocks)), [len(columns) for columns in blocks])

    def fit(self, *_: Any) -> _Dealt:
        """It is fitted already; scikit-learn asks that this exists."""
        return self

    def predict(self, rows: NDArray[np.int64]) -> Array:
        """Spectra (n, n_energy) for rows (n, n_blocks)."""
        dealt = self._features.copy()
        dealt[:, self._columns] = self._features[rows[:, self._block], self._columns]
        return on_grid(self._own, self._session.run(dealt)[0], self._energy)


def _permutation_importance() -> Any:
    require_sklearn()
    from sklearn.inspection import permutation_importance

    return permutation_importance


def require_sklearn() -> None:
    """Raise Reject with one line unless scikit-learn is installed."""
    from importlib.util import find_spec

    if find_spec("sklearn") is None:
        raise Reject(
            "explaining a model needs scikit-learn, which this installation lacks: "
            "pip install 'edgestream[sklearn]'"
        )
