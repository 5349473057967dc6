"""What viewers see of one run, made of what arrives and of what is on disk."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgestream.dashboard.file_reading import novelty_of, rows_at, time_scale
from edgestream.dashboard.history import NoveltyTrack, Waterfall, rounded, uncertainty_percent
from stream.following import Arrived
from stream.result_file.average import Average, RunningAverage
from stream.result_file.reader import RunFile

NOVELTY_ALARM = 1.0  # the 99th percentile of the training data
READ_AT_ONCE = 2**20


class Picture:
    """Takes blocks that arrive and the file when it has changed; gives its parts for the page.

    The average is that of the file, once there is one: the tail loses frames, the file none. Until
    then it is over what has arrived. Memory does not grow with the run.
    """

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.newest: dict[str, Any] | None = None
        self._average: Average | None = None
        self._on_disk = 0
        self._started = -1.0
        self._begin(np.zeros(0))

    def _begin(self, energy: NDArray[np.float64]) -> None:
        self.energy = energy
        self._arrived = RunningAverage(energy)
        self._track, self._waterfall = NoveltyTrack(), Waterfall(len(energy))
        self._on_disk = 0

    # -- what comes ------------------------------------------------------------------------------

    def take(self, block: Arrived) -> None:
        """Frames that a worker gave back a moment ago."""
        if not len(self.energy):
            self._begin(block.energy)
        if not len(block.frame_index) or not np.array_equal(block.energy, self.energy):
            return  # dead letters, or another grid, which the file interpolates
        frame, starts, counts = np.unique(block.frame_index, return_index=True, return_counts=True)
        share = (1.0 / counts)[:, None].astype(np.float32)
        intensity = np.add.reduceat(block.intensity, starts, axis=0) * share
        errors = np.add.reduceat(block.errors, starts, axis=0) * share
        novelty = np.maximum.reduceat(block.novelty, starts)
        self._waterfall.reach(int(frame[-1]) + 1)
        self._waterfall.put(frame, intensity, errors)
        self._track.put(frame, novelty)
        self._arrived.add(np.ones(len(frame), np.uint8), intensity, errors)
        if self.newest is None or frame[-1] >= self.newest["frame"]:
            waits = block.t_predicted - block.t_pushed
            self._show(int(frame[-1]), intensity[-1], errors[-1], float(novelty[-1]))
            self.newest["latency_s"] = float(np.median(waits))  # type: ignore[index]

    def _show(
        self,
        frame: int,
        intensity: NDArray[np.float32],
        errors: NDArray[np.float32],
        novelty: float,
    ) -> None:
        uncertainty = uncertainty_percent(intensity[None], errors[None])[0]
        self.newest = {
            "frame": frame,
            "energy": self.energy,
            "intensity": rounded(intensity),
            "errors": rounded(errors),
            "novelty": novelty,
            "uncertainty": float(uncertainty),
            "latency_s": None,
        }

    def read(self, file: RunFile) -> None:
        """What the file has more than at the last look; all of it where it is another one."""
        if self._is_another(file):
            self._begin(file.energy)
        self._started = file.header.start_time
        n = file.n_frames
        self._average = file.average
        for first in range(self._on_disk, n, READ_AT_ONCE):
            end = min(n, first + READ_AT_ONCE)
            self._track.put(np.arange(first, end), novelty_of(file, first, end))
        self._waterfall.reach(n)
        wanted = self._waterfall.missing(n)
        self._waterfall.put(
            wanted,
            rows_at(file, "intensity", wanted),
            rows_at(file, "intensity_errors", wanted),
        )
        self._on_disk = n
        self.facts = _facts(file)
        if n and (self.newest is None or self.newest["frame"] < n - 1):
            last = np.array([n - 1])
            spectrum, errors = (
                rows_at(file, k, last)[0] for k in ("intensity", "intensity_errors")
            )
            self._show(n - 1, spectrum, errors, float(novelty_of(file, n - 1, n)[0]))

    def _is_another(self, file: RunFile) -> bool:
        return (
            not np.array_equal(file.energy, self.energy)
            or file.n_frames < self._on_disk
            or (self._on_disk > 0 and file.header.start_time != self._started)
            or file.finished  # its rows may have been amended
        )

    # -- what is shown ---------------------------------------------------------------------------

    def average(self) -> dict[str, Any] | None:
        """The running average; every number as in the file."""
        found, of = self._average, "file"
        if found is None and self._arrived.n:
            found, of = self._arrived.average(), "arrived"
        if found is None:
            return None
        curves = {"energy": found.energy} | {name: v for name, (v, _) in found.named().items()}
        return {"of": of, "n": found.n, **curves}

    def history(self) -> dict[str, Any] | None:
        """Spectra, novelty and uncertainty over time."""
        if not len(self.energy):
            return None
        return {
            "energy": self.energy,
            "alarm": NOVELTY_ALARM,
            "time": self.facts.get("time"),
            "novelty": {"first": 0, **self._track.plain()},
            "waterfall": self._waterfall.plain(),
        }


def window(file: RunFile, first: int, end: int) -> dict[str, Any]:
    """The same of frames first to end alone, as finely as there is room."""
    n = file.n_frames
    first, end = max(0, min(first, n - 1)), max(min(end, n), min(first, n - 1) + 1)
    part = Waterfall(file.header.n_energy, first=first)
    part.reach(end)
    frames = part.missing(end)
    part.put(frames, rows_at(file, "intensity", frames), rows_at(file, "intensity_errors", frames))
    track = NoveltyTrack()
    novelty = novelty_of(file, first, end)
    track.put(np.arange(len(novelty)), novelty)
    return {
        "energy": file.energy,
        "alarm": NOVELTY_ALARM,
        "time": time_scale(file),
        "novelty": {"first": first, **track.plain()},
        "waterfall": part.plain(),
    }


def _facts(file: RunFile) -> dict[str, Any]:
    header = file.header
    return {
        "title": header.title,
        "sample": header.sample,
        "element": header.element,
        "edge": header.edge,
        "frames": file.n_frames,
        "finished": file.finished,
        "interrupted": file.interrupted,
        "models": [f"{m.name}@{m.version}" for m in file.models],
        "structures": header.keep_structures,
        "time": time_scale(file),
    }
