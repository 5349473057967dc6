"""One run on disk, as its writer sees it.

Rows go into segments, each a new small file; segments are merged when there are many, so that a row
is seldom copied; the main file is derived from them at most once a second. When the run ends
everything is copied into one file that needs no other.
docs/adr/0004-result-files-as-merged-segments.md says why, 0012 what it costs.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np

from stream.result_file.average import Average, RunningAverage
from stream.result_file.draft import Draft
from stream.result_file.header import Model, RunHeader
from stream.result_file.layout import Summary
from stream.result_file.leftovers import remove_empty
from stream.result_file.main_file import write_finished, write_growing
from stream.result_file.merging import next_merge, with_falling_levels
from stream.result_file.parts import merge, write_rows
from stream.result_file.raw import read_spectra
from stream.result_file.rows import Rows
from stream.result_file.segment import Segment, name_of, read_state, span
from stream.result_file.stretches import count_stretches
from stream.result_file.survey import is_newer_than, main_path, segments_path, survey
from stream.result_file.takeover import adopt, claim, clear, refuse
from stream.storage import storage, storage_failed
from xas.errors import Fenced, StorageFailed

_FINISHED_LEVEL = 99  # an adopted file is larger than anything that follows it
_REST = 100  # times as long as it took to rewrite the main file, it is left alone ...
_LONGEST_REST_S = 5.0  # ... but no longer than this


@dataclass(slots=True, kw_only=True, eq=False)
class RunFolder:
    """The files of one run, open for appending; made by ``recover``.

    Not for two threads at once. Every method that writes raises StorageFailed where the disk
    refuses, leaves no torn file, and may be called again. Once a writer of a later epoch has been
    in the folder they raise Fenced, but for ``sweep``, which then leaves everything to that one.
    """

    folder: Path
    run: str
    header: RunHeader
    epoch: int
    clock: Callable[[], float]
    grace_s: float
    refresh_s: float
    models: list[Model] = field(default_factory=list)
    _segments: list[Segment] = field(default_factory=list)
    _mean: RunningAverage = field(init=False)
    _superseded: list[Path] = field(default_factory=list)  # still named by the main file
    _graced: list[tuple[float, Path]] = field(default_factory=list)  # since when they are not
    _refreshed: float = -np.inf
    _rest_s: float = 0.0
    _stale: bool = True
    _seq: int = 0
    _is_finished: bool = False

    def __post_init__(self) -> None:
        self._mean = RunningAverage(self.header.energy)

    @classmethod
    def recover(
        cls,
        folder: Path,
        run: str,
        *,
        header: RunHeader,
        epoch: int,
        clock: Callable[[], float] = time.time,
        grace_s: float = 60.0,
        refresh_s: float = 1.0,
    ) -> Self:
        """Begin a run, or go on with what is there of it after any kill or an interruption.

        ``epoch`` must be higher than ``survey.highest_epoch`` (else Fenced). RunRefused where the
        run is finished and sealed, or was begun with other energies, element, edge or time unit;
        BadResultFile where ``<run>.h5`` is something else. Reads all spectra once, for the mean.
        ``grace_s``: how long files that readers may have open are kept after they are replaced.
        """
        found = survey(folder, run)
        refuse(found, folder, run, epoch)
        if found.contents is not None:
            header = header.resume(found.contents.header)
        place = segments_path(folder, run)
        with storage(place):
            claim(place, epoch)
            adopted = adopt(found, main_path(folder, run), place, epoch)
        if adopted:
            found = survey(folder, run)
        self = cls(
            folder=folder,
            run=run,
            header=header,
            epoch=epoch,
            clock=clock,
            grace_s=grace_s,
            refresh_s=refresh_s,
            models=found.contents.models if found.contents else [],
            _segments=with_falling_levels(found.chosen),
            _superseded=found.spare,
            _seq=1,
        )
        with storage(place):
            clear(found)
            self._average_what_is_there()
        return self

    @property
    def path(self) -> Path:
        """The main file."""
        return main_path(self.folder, self.run)

    @property
    def n_frames(self) -> int:
        """Frames on disk, without a gap from 0: the watermark."""
        return self._segments[-1].end if self._segments else 0

    @property
    def n_segments(self) -> int:
        """Files that hold them."""
        return len(self._segments)

    def average(self) -> Average:
        """The mean over all frames on disk."""
        return self._mean.average()

    def add_model(self, name: str, version: str, sha256: str) -> int:
        """The model's index for ``Rows.model_index``; stored with the next rows."""
        model = Model(name=name, version=version, sha256=sha256)
        for index, known in enumerate(self.models):
            if known.is_same(model):
                return index
        self.models.append(model)
        return len(self.models) - 1

    def append(self, rows: Rows) -> None:
        """Store rows; they are durable when this returns.

        ValueError where they do not begin at ``n_frames`` or do not fit the run.
        """
        if len(rows) == 0:
            return
        self._check_rows(rows)
        self._check_fence()
        models = self._models_after(rows)
        segment = self._next_segment(rows)
        with storage(segment.path), Draft(self._place, segment.path) as draft:
            segment = write_rows(draft, segment, rows, self.header, models)
            size = self._publish_segment(draft)
        self.models = models
        self._segments.append(replace(segment, size=size))
        self._mean.add(rows.status, rows.intensity, rows.errors)
        self._stale = True

    def refresh(self, force: bool = False) -> bool:
        """Merge where there are many segments; rewrite the main file and sweep where it is time.

        That is where rows came, and refresh_s has passed, or up to 5 s where rewriting would else
        take more than a hundredth of the time. Returns whether it did.
        """
        now = self.clock()
        recently = 0 <= now - self._refreshed < self._rest_s
        if self._is_finished or not (force or (self._stale and not recently)):
            if not self._is_finished:
                self._merge()
            return False
        self._check_fence()
        self._merge()
        with storage(self.path), Draft(self._place, self.path) as draft:
            write_growing(draft, self._whole(), self._segments, self._summary())
            draft.publish()
        self._refreshed, self._stale = now, False
        took_s = self.clock() - now
        self._rest_s = max(self.refresh_s, min(_REST * took_s, _LONGEST_REST_S))
        self._release()
        self.sweep()
        return True

    def check(self) -> None:
        """See that what was stored is still there, before it is acknowledged.

        StorageFailed where a segment is gone or has another size. A main file that somebody
        removed is written again.
        """
        for segment in self._segments:
            try:
                size = os.stat(segment.path).st_size  # noqa: PTH116 (of every segment, every time)
            except OSError as failure:
                raise storage_failed(segment.path, failure) from failure
            if size != segment.size:
                raise StorageFailed(
                    f"{segment.path} was changed by another program; nothing more of run "
                    f"{self.run} is acknowledged: restore the file and start again"
                )
        if not self._stale and not self.path.exists():
            self.refresh(force=True)

    def finish(self, *, sealed: bool, interrupted: bool = False, dropped: int = 0) -> Path:
        """Copy everything into one self-contained main file; its path.

        An interrupted run that is not sealed can be recovered and go on. The segments stay until
        ``sweep`` finds their grace over.
        """
        self._check_fence()
        frame = replace(
            self._summary(),
            end_time=self.clock(),
            sealed=sealed,
            interrupted=interrupted,
            dropped=dropped,
        )
        with storage(self.path), Draft(self._place, self.path) as draft:
            write_finished(draft, self._whole(), self._segments, frame)
            draft.publish()
            read_state(self.path)  # the segments go only after this
        self._is_finished = True
        self._superseded += [segment.path for segment in self._segments]
        self._release()
        self.sweep()
        return self.path

    def sweep(self) -> int:
        """Remove what was replaced longer than the grace ago; the number of files still waiting."""
        now = self.clock()
        gone = [path for since, path in self._graced if now - since >= self.grace_s]
        if gone and is_newer_than(self._place, self.epoch):
            self._graced = []  # it may have chosen what we replaced; it sweeps from now on
            return 0
        with storage(self._place):
            for path in gone:
                path.unlink(missing_ok=True)
        self._graced = [entry for entry in self._graced if now - entry[0] < self.grace_s]
        if self._is_finished and not self._graced:
            remove_empty(self._place)
        return len(self._graced)

    @property
    def _place(self) -> Path:
        return segments_path(self.folder, self.run)

    def _check_fence(self) -> None:
        if is_newer_than(self._place, self.epoch):
            raise Fenced(f"another writer has taken over run {self.run} in {self.folder}; stop")

    def _check_rows(self, rows: Rows) -> None:
        if self._is_finished:
            raise ValueError(f"run {self.run} is finished")
        if rows.first_index != self.n_frames:
            raise ValueError(
                f"run {self.run} goes on at frame {self.n_frames}, not {rows.first_index}"
            )
        if rows.n_energy != self.header.n_energy:
            raise ValueError(f"{rows.n_energy} energies, but the run has {self.header.n_energy}")
        if rows.model_index.max() >= len(self.models):
            raise ValueError(f"model {rows.model_index.max()} was not added to run {self.run}")
        if self.header.keep_structures and rows.structures is None:
            raise ValueError(f"run {self.run} keeps structures, but these rows have none")

    def _models_after(self, rows: Rows) -> list[Model]:
        """The models, with the first frame of those that these rows use first."""
        used, at = np.unique(rows.model_index, return_index=True)
        models = list(self.models)
        for index, row in zip(used.tolist(), at.tolist(), strict=True):
            if index >= 0 and models[index].first_frame < 0:
                models[index] = replace(models[index], first_frame=rows.first_index + row)
        return models

    def _next_segment(self, rows: Rows) -> Segment:
        keep = self.header.keep_structures and rows.structures is not None
        return Segment(
            path=self._next_path(rows.first_index, rows.end_index),
            epoch=self.epoch,
            seq=self._seq,
            first=rows.first_index,
            end=rows.end_index,
            level=0,
            first_atom=self._segments[-1].end_atom if self._segments else 0,
            atoms=rows.structures.n_atoms if keep and rows.structures else 0,
            sites=len(rows.site_frame),
            dead=len(rows.reasons),
            stretches=count_stretches(len(rows)),
            one_site_each=rows.one_site_each,
        )

    def _next_path(self, first: int, end: int) -> Path:
        self._seq += 1
        return self._place / name_of(self.epoch, self._seq, first, end)

    def _publish_segment(self, draft: Draft) -> int:
        try:
            return draft.publish()
        except StorageFailed:
            with contextlib.suppress(OSError):
                draft.target.unlink()  # there, but perhaps not durable
            raise

    def _merge(self) -> None:
        """Replace neighbours by one until few are left."""
        while part := next_merge(self._segments):
            self._check_fence()
            self._segments[part] = [self._merged(self._segments[part])]
            self._segments = with_falling_levels(self._segments)

    def _merged(self, group: Sequence[Segment]) -> Segment:
        path = self._next_path(group[0].first, group[-1].end)
        level = group[0].level + 1
        whole = span(group, path=path, epoch=self.epoch, seq=self._seq, level=level)
        with storage(path), Draft(self._place, path) as draft:
            whole = merge(draft, whole, group, self.header, self.models)
            size = self._publish_segment(draft)
        self._superseded += [segment.path for segment in group]
        return replace(whole, size=size)

    def _whole(self) -> Segment:
        about = {
            "path": self.path,
            "epoch": self.epoch,
            "seq": self._seq,
            "level": _FINISHED_LEVEL,
        }
        if self._segments:
            return span(self._segments, **about)
        nothing = dict.fromkeys(("first", "end", "first_atom", "atoms", "sites", "dead"), 0)
        return Segment(**about, **nothing)  # type: ignore[arg-type]

    def _summary(self) -> Summary:
        return Summary(header=self.header, models=self.models, average=self._mean.average())

    def _release(self) -> None:
        """The main file no longer names the superseded files; their grace begins."""
        now = self.clock()
        self._graced += [(now, path) for path in self._superseded]
        self._superseded = []

    def _average_what_is_there(self) -> None:
        names = ("status", "intensity", "intensity_errors")
        for status, intensity, errors in read_spectra(self._segments, self.header, names):
            self._mean.add(status, intensity, errors)
