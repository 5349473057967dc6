"""A recorded run predicted again with another model, or with the same."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray

from edgestream.progress import Progress
from edgestream.recording import RecordedFrames, Recording
from stream.broker import Entry
from stream.codec import encode
from stream.messages import FrameBlock
from stream.result_file import RunFile, RunFolder, RunHeader
from stream.result_file.rows import Rows, bundled
from stream.result_file.salvage import absent
from stream.result_file.survey import highest_epoch, segments_path
from stream.result_rows import EDGE_STEP_METHOD, UsedModel, rows_of
from stream.settings import Settings
from stream.writer import program_version
from workers.batcher import Batch, Job
from workers.blame import predict_batch
from workers.catalogue import Choice
from workers.predictor import Predictor
from workers.serving import Serving
from xas.edges import atomic_number
from xas.errors import OutputExists, RunRefused
from xas.measures import percentage_error
from xas.structure import Sites, sites_of_element

MOST_FRAMES = 1024  # predicted at once
_READ_FRAMES = 2048


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What became of a replay; percent: sum of differences over sum of the recorded spectrum."""

    file: str
    frames: int
    dead_letters: int
    model: str
    interrupted: bool
    compared_frames: int = 0
    median_percent: float | None = None
    max_percent: float | None = None
    max_frame: int | None = None


class Replay:
    """Frames of a recording through a predictor into a result file of its own.

    The way of a frame is that of a worker and a writer, in this process: the same predictor, the
    same search for a guilty frame, the same rows. Numbers agree to 1e-6 whatever frames are
    predicted together, and are the same where ``batch_atoms`` is. Memory does not grow with the
    run. Interrupted, the file can be resumed.
    """

    def __init__(
        self,
        recording: Recording,
        predictor: Predictor,
        out: Path,
        *,
        origin: str,
        resume: bool = False,
        batch_atoms: int = Settings().batch_atoms,
    ) -> None:
        self.recording, self.predictor, self.out = recording, predictor, out
        self.batch_atoms, self.origin = batch_atoms, origin
        self._check_output(resume)
        manifest, run = predictor.manifest, out.name.removesuffix(".h5")
        self._folder = RunFolder.recover(
            out.parent,
            run,
            header=self._header(run),
            epoch=highest_epoch(out.parent, run) + 1,
        )
        sha = predictor.identity
        self._serving = Serving(choice=Choice(champion=manifest.reference), champion=predictor)
        others = [model for model in self._folder.models if model.sha256 != sha]
        if others:
            raise RunRefused(f"{out} was begun with {others[0].name}@{others[0].version}: resume "
                             "with that model, or take another file")  # fmt: skip
        index = self._folder.add_model(manifest.name, str(manifest.version), sha)
        self._models = {sha: UsedModel.of(index, predictor.record())}

    def _check_output(self, resume: bool) -> None:
        out = self.out
        if out.suffix != ".h5":
            raise RunRefused(f"-o {out}: result files end in .h5")
        is_there = out.exists() or segments_path(out.parent, out.stem).exists()
        if is_there and not resume:
            raise OutputExists(f"{out} exists: --resume goes on with it, or take another name")
        if resume and out.exists():
            with RunFile(out) as file:
                if file.header.extra.get("replay_of") != self.origin:
                    raise RunRefused(f"{out} is not a replay of {self.origin}: take another file")

    def _header(self, run: str) -> RunHeader:
        manifest = self.predictor.manifest
        return RunHeader(
            run=run,
            element=manifest.element,
            edge=manifest.edge,
            energy=self.predictor.energy,
            time_units=self.recording.time_units,
            start_time=time.time(),
            title=self.recording.title,
            sample=self.recording.sample,
            descriptor=json.dumps(manifest.input.descriptor),
            provider=self.predictor.provider,
            program_version=program_version(),
            edge_step_method=EDGE_STEP_METHOD,
            extra={"replay_of": self.origin},
        )

    def run(self, progress: Progress, stop: Event) -> Replayed:
        """Predict what is not predicted yet; stopped, an interrupted file."""
        total = self.recording.n_frames
        for rows in bundled(self._rows(self._folder.n_frames, stop)):
            self._folder.append(rows)
            self._folder.refresh()
            progress.update(self._folder.n_frames, total)
        is_whole = self._folder.n_frames == total
        self._folder.grace_s = 0.0  # nobody was told of the segments
        path = self._folder.finish(sealed=is_whole, interrupted=not is_whole)
        with RunFile(path) as file:
            dead = len(file.dead_letters)
        return Replayed(
            file=str(path),
            frames=self._folder.n_frames,
            dead_letters=dead,
            model=self.predictor.manifest.reference,
            interrupted=not is_whole,
        )

    def _rows(self, at: int, stop: Event) -> Iterator[Rows]:
        total = self.recording.n_frames
        each = max(1, self.recording.atoms // max(1, total))
        step = min(MOST_FRAMES, max(1, self.batch_atoms // each))
        while at < total and not stop.is_set():
            first, end = self.recording.present(at)
            high = min(first if first > at else end, at + step)
            yield (
                self._predicted(self.recording.read(at, high), at)
                if first == at
                else absent(at, high - at, self._folder.header)
            )
            at = high

    def _predicted(self, frames: RecordedFrames, first: int) -> Rows:
        """Rows as a worker and a writer make them."""
        n, reference = len(frames.structures), self.predictor.manifest.reference
        block = FrameBlock.of(
            frames.structures,
            run=self.recording.run,
            first=first,
            model=reference,
            t_pushed=0.0,
            times=frames.times,
            sites=_all_sites(frames, atomic_number(self.predictor.manifest.element)),
        )
        packed = encode(block)
        entry = Entry(
            stream="", id="", run=self.recording.run, first=first, n_frames=n, payload=packed
        )
        batch = Batch(model=reference, absorber=None, jobs=[Job(entry=entry, block=block)])
        outcome = predict_batch(batch, self._serving, lambda: None)
        result = outcome.result(self.recording.run, first, frames.t_pushed, time.time())
        return rows_of([(result, [packed])], self.predictor.energy, self._models,
                       keep_structures=True)  # fmt: skip


def _all_sites(frames: RecordedFrames, element: int) -> Sites:
    """The recorded sites; all atoms of the element where a frame has none recorded."""
    if frames.known.all():
        return frames.sites
    others = sites_of_element(frames.structures, element)
    new = ~frames.known[others.structure]
    structure = np.concatenate([frames.sites.structure, others.structure[new]])
    order = np.argsort(structure, kind="stable")
    atom = np.concatenate([frames.sites.atom, others.atom[new]])
    return Sites(structure[order], atom[order])


def differences(recorded: RunFile, replayed: RunFile) -> NDArray[np.float64]:
    """(n_frames,) percent; NaN where one of them has no spectrum. RunRefused for other energies."""
    if not np.array_equal(recorded.energy, replayed.energy):
        raise RunRefused(
            f"{recorded.path} and {replayed.path} have other energies: nothing to compare"
        )
    n = min(len(recorded), len(replayed))
    found = np.full(n, np.nan)
    for low in range(0, n, _READ_FRAMES):
        part = slice(low, min(n, low + _READ_FRAMES))
        with np.errstate(invalid="ignore", divide="ignore"):
            found[part] = percentage_error(replayed.intensity[part], recorded.intensity[part])
    return found
