"""Batches of few sizes through bound memory: how a graph runs on an accelerator.

A device plans its memory and picks its code for each new shape, and a copy to it costs more than
what it computes; so batches are filled up with zeros to a few sizes, each of which keeps its memory
on the device. Rows do not know each other, so what a row gives does not depend on what fills up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZES = (16, 64, 256, 1024, 4096)

Rows = NDArray[np.float32]


class Buckets:
    """Runs one session in batches of ``SIZES`` rows; may be shared by threads, one at a time."""

    def __init__(
        self,
        session: Any,
        allocate: Callable[[list[int]], Any],
        input_name: str,
        output_widths: dict[str, tuple[int, ...]],
    ) -> None:
        """Of an ``onnxruntime.InferenceSession``.

        allocate       makes a float32 ``OrtValue`` of a shape where the session computes
        output_widths  name of an output -> shape of one row
        """
        self._session = session
        self._allocate = allocate
        self._input_name = input_name
        self._output_widths = output_widths
        self._slots: dict[int, _Slot] = {}
        self._one_at_a_time = threading.Lock()

    @property
    def sizes_in_use(self) -> tuple[int, ...]:
        """The sizes that have been asked for so far, rising."""
        return tuple(sorted(self._slots))

    def run(self, features: Rows) -> tuple[Rows, ...]:
        """The outputs for all rows of features (n, n_features), n >= 1, as arrays of the caller."""
        starts = range(0, len(features), SIZES[-1])
        with self._one_at_a_time:
            parts = [self._run(features[start : start + SIZES[-1]]) for start in starts]
        return parts[0] if len(parts) == 1 else tuple(map(np.concatenate, zip(*parts, strict=True)))

    def _run(self, rows: Rows) -> tuple[Rows, ...]:
        size = next(size for size in SIZES if size >= len(rows))
        if size not in self._slots:
            self._slots[size] = self._slot(size, rows.shape[1])
        slot = self._slots[size]
        slot.filled[: len(rows)] = rows
        slot.filled[len(rows) :] = 0.0
        slot.given.update_inplace(slot.filled)
        self._session.run_with_iobinding(slot.binding)
        return tuple(np.array(value.numpy()[: len(rows)]) for value in slot.answers)

    def _slot(self, size: int, width: int) -> _Slot:
        binding = self._session.io_binding()
        given = self._allocate([size, width])
        binding.bind_ortvalue_input(self._input_name, given)
        answers = []
        for name, shape in self._output_widths.items():
            answers.append(self._allocate([size, *shape]))
            binding.bind_ortvalue_output(name, answers[-1])
        return _Slot(np.zeros((size, width), np.float32), given, tuple(answers), binding)


@dataclass(frozen=True, slots=True)
class _Slot:
    """The memory of one size: the rows here and on the device, the answers there."""

    filled: Rows
    given: Any
    answers: tuple[Any, ...]
    binding: Any
