"""Rows against each other: indices, status, sites, dead letters, structures and models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stream.result_file.header import Model
from stream.result_file.rows import ABSENT, DEAD_LETTERED, PREDICTED
from stream.result_file.segment import Contents, Segment

Values = Mapping[str, NDArray[Any]]

_TOLERANCE = 1e-5  # of a mean in float32


class Blame(Protocol):
    """Told of a fault of frames first:end, or of the file."""

    def __call__(self, what: str, first: int = -1, end: int = -1) -> None:
        """See the class."""


class Consistency:
    """Takes the rows of a run, stretch by stretch, in order; tells ``blame`` what is wrong."""

    def __init__(self, contents: Contents, blame: Blame) -> None:
        self._models, self._blame = contents.models, blame
        self._keeps_structures = contents.header.keep_structures
        self._first_use: dict[int, int] = {}
        self._skipped = False
        self._reached = 0

    def check(self, values: Values, first: int, end: int, segment: Segment) -> None:
        """The columns of frames first:end of a segment, by path."""
        self._skipped |= first != self._reached
        self._reached = end
        rows = {path.removeprefix("entry/"): array for path, array in values.items()}
        self._check_frames(rows, first, end)
        self._check_models(rows, first)
        sites = self._check_sites(rows, first, end)
        self._check_dead(rows, first)
        if sites is not None:
            self._check_means(rows, sites, first)
        if self._keeps_structures:
            self._check_structures(rows, sites, first, end, segment)

    def check_end(self, end: int) -> None:
        """After the last of ``end`` frames: every model was first used where the file says."""
        if self._skipped or self._reached != end:
            return
        for i, model in enumerate(self._models):
            found = self._first_use.get(i, -1)
            if found != model.first_frame:
                self._blame(f"model {_named(model)} is said to begin at frame "
                            f"{model.first_frame}, but begins at {found}")  # fmt: skip

    def _each(self, wrong: NDArray[np.bool_], what: str, first: int) -> None:
        """Blame the frames of a stretch where something is wrong."""
        for i in np.flatnonzero(wrong).tolist():
            self._blame(what, first + i, first + i + 1)

    def _check_frames(self, rows: Values, first: int, end: int) -> None:
        status = rows["status"]
        wanted = np.arange(first, end)
        self._each(rows["frame_index"] != wanted, "its index is another", first)
        self._each(status == ABSENT, "absent: it has neither a row nor a dead letter", first)
        known = np.isin(status, (ABSENT, PREDICTED, DEAD_LETTERED))
        self._each(~known, "its status is none that there is", first)
        bare = (status == PREDICTED) & ~np.isfinite(rows["intensity"]).any(axis=1)
        self._each(bare, "predicted, but it has no spectrum", first)

    def _check_models(self, rows: Values, first: int) -> None:
        used, predicted = rows["model_index"], rows["status"] == PREDICTED
        wrong = np.where(predicted, (used < 0) | (used >= len(self._models)), used != -1)
        self._each(wrong, "its model is none of the run's", first)
        present, at = np.unique(used, return_index=True)
        for model, row in zip(present.tolist(), at.tolist(), strict=True):
            if model >= 0:
                self._first_use.setdefault(model, first + row)

    def _check_sites(self, rows: Values, first: int, end: int) -> NDArray[np.int64] | None:
        """Sites belong to frames that are predicted; their frames within the stretch."""
        frame = rows["sites/frame_index"]
        if (np.diff(frame) < 0).any() or ((frame < first) | (frame >= end)).any():
            self._blame("sites of other frames are among theirs", first, end)
            return None
        local: NDArray[np.int64] = frame - first
        has = np.bincount(local, minlength=end - first) > 0
        self._each(has != (rows["status"] == PREDICTED), "sites without spectrum, or none", first)
        atoms = rows["sites/atom_index"]
        same = (np.diff(frame) == 0) & (np.diff(atoms) == 0)
        self._each(_marked(local[1:][same], end - first), "a site is there twice", first)
        return local

    def _check_dead(self, rows: Values, first: int) -> None:
        told = rows.get("dead_letters/frame_index", np.zeros(0, dtype=np.int64)) - first
        dead = rows["status"] == DEAD_LETTERED
        inside = told[(told >= 0) & (told < len(dead))]
        counts = np.bincount(inside, minlength=len(dead))
        if len(inside) != len(told):
            self._blame("dead letters of other frames are among theirs", first, first + len(dead))
        self._each(counts != dead, "dead-lettered without one reason, or a reason without", first)

    def _check_means(self, rows: Values, sites: NDArray[np.int64], first: int) -> None:
        """The spectrum of a frame is the mean of its sites'."""
        counts = np.bincount(sites, minlength=len(rows["status"]))
        with np.errstate(invalid="ignore", over="ignore"):
            for name in ("intensity", "intensity_errors"):
                frames, own = rows[name], rows[f"sites/{name}"]
                if (counts == 1).all():
                    means = own
                else:
                    sums = np.zeros(frames.shape, dtype=np.float64)
                    np.add.at(sums, sites, own)
                    means = sums / np.maximum(counts, 1)[:, None]
                scale = np.abs(means).max(axis=1, initial=1e-30)[:, None]
                off = (np.abs(frames - means) > _TOLERANCE * scale).any(axis=1)
                self._each(off & (counts > 0), f"{name} is not the mean of its sites", first)

    def _check_structures(
        self, rows: Values, sites: NDArray[np.int64] | None, first: int, end: int, segment: Segment
    ) -> None:
        offsets = rows["structures/offsets"]
        sizes = np.diff(offsets)
        if (sizes < 0).any() or not segment.first_atom <= offsets[0] <= offsets[-1]:
            self._blame("offsets of structures do not rise", first, end)
            return
        if offsets[-1] > segment.end_atom or len(rows["structures/numbers"]) != sizes.sum():
            self._blame("offsets of structures do not fit the atoms", first, end)
            return
        if sites is not None and len(sites):
            atom = rows["sites/atom_index"]
            beyond = (atom < 0) | ((atom >= sizes[sites]) & (sizes[sites] > 0))
            wrong = _marked(sites[beyond], end - first)
            self._each(wrong, "a site of an atom that its structure does not have", first)


def _marked(frames: NDArray[np.int64], n: int) -> NDArray[np.bool_]:
    marked = np.zeros(n, dtype=np.bool_)
    marked[frames] = True
    return marked


def _named(model: Model) -> str:
    return f"{model.name}@{model.version}"
