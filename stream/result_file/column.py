"""Columns of a result file that are read when they are sliced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

Guard = Callable[[Callable[[Any], Any]], Any]  # calls its argument with the open file


@dataclass(frozen=True, slots=True, eq=False)
class Column(NDArrayOperatorsMixin):
    """Rows of a result file that are read when they are sliced; ``numpy.asarray`` reads all."""

    guarded: Guard
    path: str
    rows: int

    def __len__(self) -> int:
        return self.rows

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return (self.rows, *self.guarded(lambda file: file[self.path].shape[1:]))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """As in the file."""
        return np.dtype(self.guarded(lambda file: file[self.path].dtype))

    def __getitem__(self, key: Any) -> Any:
        """As of an array; a slice or a number first reads just those rows."""
        first, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(first, (int, np.integer)):
            row = range(self.rows)[int(first)]
            return self._read(row, row + 1)[(0, *rest)]
        if not isinstance(first, slice):
            return self._read(0, self.rows)[key]
        start, stop, step = first.indices(self.rows)
        if step < 0:
            return self._read(0, self.rows)[key]
        return self._read(start, max(start, stop))[(slice(None, None, step), *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a column of a file cannot be an array without a copy")
        return np.asarray(self._read(0, self.rows), dtype=dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = [np.asarray(it) if isinstance(it, Column) else it for it in inputs]
        return getattr(ufunc, method)(*arrays, **options)

    def _read(self, start: int, stop: int) -> NDArray[Any]:
        return np.asarray(self.guarded(lambda file: file[self.path][start:stop]))


@dataclass(frozen=True, slots=True, eq=False)
class SiteTable:
    """Absorbers of a run, ordered by frame.

    frame      (n_sites,) int64, index of the frame
    atom       (n_sites,) int32, atom in its frame, from 0
    intensity, errors  (n_sites, n_energy) float32, read when sliced
    """

    frame: NDArray[np.int64]
    atom: NDArray[np.int32]
    intensity: Column
    errors: Column

    def __len__(self) -> int:
        return len(self.frame)
