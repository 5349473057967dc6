"""A bounded part of a result file, however long it is."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.result_file.column import Column
from stream.result_file.reader import RunFile
from xas.errors import Reject

MOST_SITES = 64


def rows_at(file: RunFile, name: str, frames: NDArray[np.int64]) -> NDArray[Any]:
    """The rows of a column at some frames, rising; nothing between them is read."""
    if not len(frames):
        return np.zeros((0, file.header.n_energy), dtype=np.float32)

    def read(opened: Any) -> NDArray[Any]:
        data = opened[f"entry/{name}"]
        return np.stack([data[int(i)] for i in frames])

    return np.asarray(file.guarded(read))


def novelty_of(file: RunFile, first: int, end: int) -> NDArray[np.float32]:
    """(end - first,) float32."""
    return np.asarray(Column(file.guarded, "entry/novelty", end)[first:end], dtype=np.float32)


def time_scale(file: RunFile) -> dict[str, Any] | None:
    """Zero and step of the times of a run; None where only the frames are known, or not evenly."""
    n, unit = file.n_frames, file.header.time_units
    if unit == "frame" or n < 2:
        return None
    probe = np.unique(np.linspace(0, n - 1, 16).astype(np.int64))
    times = np.asarray(rows_at(file, "frame_time", probe), dtype=float)
    step = (times[-1] - times[0]) / (n - 1)
    even = np.allclose(times, times[0] + step * probe, rtol=0, atol=0.01 * abs(step))
    if not (np.isfinite(times).all() and step > 0 and even):
        return None
    return {"zero": float(times[0]), "step": float(step), "unit": unit}


def sites_of(file: RunFile, frame: int) -> dict[str, Any]:
    """The spectra of the absorbers of one frame, the first MOST_SITES of them.

    Reject where the frame is not on disk, BadResultFile where the file cannot be read.
    """
    if not 0 <= frame < file.n_frames:
        raise Reject(f"frame {frame} is not on disk (yet): there are {file.n_frames}")
    n = int(file.guarded(lambda opened: opened["entry/sites/frame_index"].shape[0]))
    frames = Column(file.guarded, "entry/sites/frame_index", n)
    first, end = bisect_left(frames, frame), bisect_left(frames, frame + 1)
    shown = slice(first, min(end, first + MOST_SITES))

    def read(opened: Any) -> tuple[NDArray[Any], ...]:
        sites = opened["entry/sites"]
        names = ("atom_index", "intensity", "intensity_errors")
        return tuple(np.asarray(sites[name][shown]) for name in names)

    atom, intensity, errors = file.guarded(read)
    return {
        "frame": frame,
        "status": int(Column(file.guarded, "entry/status", file.n_frames)[frame]),
        "sites": end - first,
        "energy": file.energy,
        "atom": atom,
        "intensity": intensity,
        "errors": errors,
    }
