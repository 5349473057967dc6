"""From results on the wire to rows of the file, many blocks at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.codec import Array, decode
from stream.messages import FrameBlock, ModelRecord, ResultBlock, join_structures, join_times
from stream.result_file.rows import DEAD_LETTERED, Rows
from xas.errors import BadMessage
from xas.spectrum import edge_step
from xas.structure import StructureBatch

EDGE_STEP_METHOD = (
    "mean of the spectrum above the line under it, 25 to 75 eV above the edge or, on a shorter "
    "grid, over its last 10 eV (edgestream: xas.spectrum.fit_edge)"
)


Reason = tuple[int, str]  # index of a frame in its run
Answer = tuple[ResultBlock, Sequence[bytes]]  # with the blocks of frames, as they were pushed


class UsedModel(NamedTuple):
    """A model of a run: its number there, its energies (n_energy,) eV, what its results tell."""

    number: int
    energy: NDArray[np.float64]
    has_errors: bool = True
    has_novelty: bool = True

    @classmethod
    def of(cls, number: int, record: ModelRecord) -> UsedModel:
        """As a worker described it."""
        energy = record.energies
        return cls(number, energy, record.has_errors, record.has_novelty)


Models = Mapping[str, UsedModel]  # by the name that results have for it


def rows_of(
    answers: Sequence[Answer],
    energy: NDArray[np.float64],
    models: Models,
    *,
    keep_structures: bool,
) -> Rows:
    """The rows of results that follow each other, every column joined once.

    ``energy`` is the run's grid: where a later model of the run has another one, its spectra are
    interpolated, NaN outside. BadMessage where arrays disagree.
    """
    results = [result for result, _ in answers]
    first, counts = results[0].first, [r.n_frames for r in results]
    n = sum(counts)
    sites = [math.prod(r.site_frame.shape) for r in results]
    frame = _site_frames(results, counts, sites)
    intensity = _spectra(results, sites, energy, models, lambda r: r.intensity)
    errors = _spectra(results, sites, energy, models, lambda r: r.errors)
    status = _join([r.status for r in results], "|u1", counts)
    predicted = status != DEAD_LETTERED
    mean = _frame_means(intensity, frame, n)
    used = model_indices(results, counts, models)
    novelty = _join([r.novelty for r in results], "<f4", sites)
    errors, novelty = known_only(errors, novelty, used[frame], models)
    return Rows(
        first_index=first,
        status=status,
        intensity=mean,
        errors=_frame_means(errors, frame, n),
        edge_step=_edge_steps(energy, mean, predicted),
        novelty=_frame_maxima(novelty, frame, n),
        model_index=np.where(predicted, used, -1).astype(np.int16),
        t_predicted=np.repeat([r.t_predicted for r in results], counts),
        site_frame=frame + first,
        site_atom=_join([r.site_atom for r in results], "<i4", sites),
        site_intensity=intensity,
        site_errors=errors,
        reasons=_reasons(results, status),
        t_pushed=_t_pushed(results, counts),
        **_as_pushed(answers, keep_structures=keep_structures),
    )


def _join(arrays: Sequence[Array], dtype: str, lengths: Sequence[int], *tail: int) -> NDArray[Any]:
    """Arrays of these lengths end to end; BadMessage where one is something else."""
    row = math.prod(tail) * np.dtype(dtype).itemsize
    for array, n in zip(arrays, lengths, strict=True):
        if array.dtype != dtype or array.shape != (n, *tail) or len(array.data) != n * row:
            array.view(dtype, n, *tail)  # says what is wrong
    data = arrays[0].data if len(arrays) == 1 else b"".join([array.data for array in arrays])
    return np.frombuffer(data, dtype=dtype).reshape(-1, *tail)


def _site_frames(
    results: Sequence[ResultBlock], counts: Sequence[int], sites: Sequence[int]
) -> NDArray[np.int64]:
    """The frame of each site, counted from the first of all; it rises."""
    local = _join([r.site_frame for r in results], "<i4", sites)
    frame: NDArray[np.int64] = local + np.repeat(np.cumsum([0, *counts[:-1]]), sites)
    if ((local < 0) | (local >= np.repeat(counts, sites))).any() or (np.diff(frame) < 0).any():
        run = results[0].run
        raise BadMessage(f"run {run!r}: results of frames that the block does not have")
    return frame


def _reasons(results: Sequence[ResultBlock], status: NDArray[np.uint8]) -> tuple[Reason, ...]:
    """Why frames have no spectrum, by their index in the run."""
    told, start = [], 0
    for result in results:
        own = status[start : start + result.n_frames]
        for i, why in sorted(result.reasons.items()):
            if not 0 <= i < len(own) or own[i] != DEAD_LETTERED:
                raise BadMessage(f"run {result.run!r}: a reason for a frame that is no dead letter")
            told.append((result.first + i, why))
        start += result.n_frames
    return tuple(told)


def _spectra(
    results: Sequence[ResultBlock],
    sites: Sequence[int],
    energy: NDArray[np.float64],
    models: Models,
    of: Callable[[ResultBlock], Array],
) -> NDArray[np.float32]:
    """Spectra of all sites on the run's grid, joined model by model."""
    parts = []
    predicted = [(r, n) for r, n in zip(results, sites, strict=True) if n]
    for sha, group in groupby(predicted, key=lambda pair: pair[0].model):
        own, blocks = models[sha].energy if sha in models else energy, list(group)
        values = _join([of(r) for r, _ in blocks], "<f4", [n for _, n in blocks], len(own))
        parts.append(_on_grid(values, own, energy))
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([np.zeros((0, len(energy)), dtype=np.float32), *parts])


def model_indices(
    results: Sequence[ResultBlock], counts: Sequence[int], models: Models
) -> NDArray[np.int64]:
    """The index of the model of every frame; -1 where none predicted."""

    def index(sha: str) -> int:
        return models[sha].number if sha in models else -1

    used = np.repeat([index(r.model) for r in results], counts)
    ends = np.cumsum(counts)
    for result, n, end in zip(results, counts, ends, strict=True):
        if result.taken is not None:
            used[end - n : end][result.taken.view("|b1", n)] = index(result.challenger)
    return used


def known_only(
    errors: NDArray[np.float32],
    novelty: NDArray[np.float32],
    used: NDArray[np.int64],
    models: Models,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Errors and novelty of sites, NaN where the model that was used, by its number, has none."""
    for model in models.values():
        if not model.has_errors:
            errors = np.where((used == model.number)[:, None], np.float32(np.nan), errors)
        if not model.has_novelty:
            novelty = np.where(used == model.number, np.float32(np.nan), novelty)
    return errors, novelty


def _edge_steps(
    energy: NDArray[np.float64], mean: NDArray[np.float32], predicted: NDArray[np.bool_]
) -> NDArray[np.float32]:
    if predicted.all():
        return edge_step(energy, mean).astype(np.float32)
    steps = np.full(len(mean), np.nan, dtype=np.float32)
    if predicted.any():
        steps[predicted] = edge_step(energy, mean[predicted])
    return steps


def _t_pushed(results: Sequence[ResultBlock], counts: Sequence[int]) -> NDArray[np.float64]:
    """NaN for frames that nobody could read."""
    times = np.full(sum(counts), np.nan)
    known = [(r.t_pushed, n) for r, n in zip(results, counts, strict=True) if r.ours]
    times[np.repeat([r.ours for r in results], counts)] = _join(
        [array for array, _ in known], "<f8", [n for _, n in known]
    )
    return times


def _as_pushed(answers: Sequence[Answer], *, keep_structures: bool) -> dict[str, Any]:
    """What the frames themselves say; BadMessage where they are not those of the results."""
    blocks: list[FrameBlock] = []
    for result, frames in answers:
        new = [decode(f, FrameBlock) for f in frames] if result.ours else [_unreadable(result)]
        if sum(block.n_frames for block in new) != result.n_frames:
            raise BadMessage(f"run {result.run!r}: a result of other frames than were pushed")
        blocks += new
    return {
        "frame_time": _times(blocks),
        "structures": join_structures(blocks) if keep_structures else None,
    }


def _unreadable(result: ResultBlock) -> FrameBlock:
    """In the place of frames that nobody could read: what is known without them."""
    return FrameBlock.of(
        StructureBatch.from_arrays([], np.zeros((0, 3)), np.zeros(result.n_frames + 1)),
        run=result.run,
        first=result.first,
        model="",
        t_pushed=math.nan,
    )


def _times(blocks: Sequence[FrameBlock]) -> NDArray[np.float64]:
    given = [block.times for block in blocks if block.times is not None]
    if len(given) == len(blocks):
        return _join(given, "<f8", [block.n_frames for block in blocks])
    return join_times(blocks)


def _on_grid(
    values: NDArray[np.float32], own: NDArray[np.float64], energy: NDArray[np.float64]
) -> NDArray[np.float32]:
    if np.array_equal(own, energy):
        return values
    right = np.clip(np.searchsorted(own, energy), 1, len(own) - 1)
    share = (energy - own[right - 1]) / (own[right] - own[right - 1])
    moved = values[:, right - 1] * (1.0 - share) + values[:, right] * share
    moved[:, (energy < own[0]) | (energy > own[-1])] = np.nan
    return moved.astype(np.float32)


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
