"""From a result on the wire to rows of the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.codec import decode
from stream.messages import FrameBlock, ResultBlock, join_structures, join_times
from stream.result_file.rows import DEAD_LETTERED, Rows
from xas.errors import BadMessage
from xas.spectrum import edge_step
from xas.structure import StructureBatch

EDGE_STEP_METHOD = (
    "mean of the spectrum above the line under it, 25 to 75 eV above the edge or, on a shorter "
    "grid, over its last 10 eV (edgestream: xas.spectrum.fit_edge)"
)


def rows_of(
    result: ResultBlock,
    frames: Sequence[bytes],
    energy: NDArray[np.float64],
    own_energy: NDArray[np.float64],
    model_index: int,
    *,
    keep_structures: bool,
) -> Rows:
    """The rows of one result and of the blocks of frames that it answers.

    ``energy`` is the run's grid, ``own_energy`` that of the model: where a later model of the run
    has another one, its spectra are interpolated, NaN outside. BadMessage where arrays disagree.
    """
    n = result.n_frames
    frame = result.site_frame.view("<i4", -1).astype(np.int64)
    n_sites = len(frame)
    if n_sites and (frame[0] < 0 or frame[-1] >= n or (np.diff(frame) < 0).any()):
        raise BadMessage(f"run {result.run!r}: results of frames that the block does not have")
    if n_sites or result.model:
        width = len(own_energy)
        intensity = _on_grid(result.intensity.view("<f4", n_sites, width), own_energy, energy)
        errors = _on_grid(result.errors.view("<f4", n_sites, width), own_energy, energy)
    else:
        intensity = errors = np.zeros((0, len(energy)), dtype=np.float32)
    status = result.status.view("|u1", n)
    mean = _frame_means(intensity, frame, n)
    predicted = status != DEAD_LETTERED
    steps = np.full(n, np.nan, dtype=np.float32)
    if predicted.any():
        steps[predicted] = edge_step(energy, mean[predicted])
    return Rows(
        first_index=result.first,
        status=status,
        intensity=mean,
        errors=_frame_means(errors, frame, n),
        edge_step=steps,
        novelty=_frame_maxima(result.novelty.view("<f4", n_sites), frame, n),
        model_index=np.where(predicted, model_index, -1).astype(np.int16),
        t_predicted=np.full(n, result.t_predicted),
        site_frame=frame + result.first,
        site_atom=result.site_atom.view("<i4", n_sites),
        site_intensity=intensity,
        site_errors=errors,
        reasons=tuple((result.first + i, why) for i, why in sorted(result.reasons.items())),
        **_as_pushed(result, frames, keep_structures=keep_structures),
    )


def _as_pushed(
    result: ResultBlock, frames: Sequence[bytes], *, keep_structures: bool
) -> dict[str, Any]:
    """What the frames themselves say; where nobody could read them, what is known without them."""
    n = result.n_frames
    if not result.ours:
        nothing = StructureBatch.from_arrays([], np.zeros((0, 3)), np.zeros(n + 1))
        return {
            "frame_time": np.arange(result.first, result.first + n, dtype=np.float64),
            "t_pushed": np.full(n, np.nan),
            "structures": nothing if keep_structures else None,
        }
    blocks = [decode(block, FrameBlock) for block in frames]
    return {
        "frame_time": join_times(blocks),
        "t_pushed": result.t_pushed.view("<f8", n),
        "structures": join_structures(blocks) if keep_structures else None,
    }


def _on_grid(
    values: NDArray[np.float32], own: NDArray[np.float64], energy: NDArray[np.float64]
) -> NDArray[np.float32]:
    if np.array_equal(own, energy):
        return values
    moved = [np.interp(energy, own, row, left=np.nan, right=np.nan) for row in values]
    return np.array(moved, dtype=np.float32).reshape(len(values), len(energy))


def _frame_means(
    sites: NDArray[np.float32], frame: NDArray[np.int64], n: int
) -> NDArray[np.float32]:
    """Means over the sites of each frame; NaN where a frame has none. ``frame`` rises."""
    if len(frame) == n and (frame == np.arange(n)).all():
        return sites
    means = np.full((n, sites.shape[1]), np.nan, dtype=np.float32)
    present, starts, counts = np.unique(frame, return_index=True, return_counts=True)
    if len(present):
        sums = np.add.reduceat(sites, starts, axis=0, dtype=np.float64)
        means[present] = sums / counts[:, None]
    return means


def _frame_maxima(
    values: NDArray[np.float32], frame: NDArray[np.int64], n: int
) -> NDArray[np.float32]:
    """The largest value among the sites of each frame; NaN where a frame has none."""
    maxima = np.full(n, np.nan, dtype=np.float32)
    present, starts = np.unique(frame, return_index=True)
    if len(present):
        maxima[present] = np.maximum.reduceat(values, starts)
    return maxima
