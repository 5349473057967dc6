"""A run beside something else: another run, a measured spectrum, or another model."""

from __future__ import annotations

import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgestream.dashboard.file_reading import rows_at, sites_of
from edgestream.match import match
from stream.result_file.reader import RunFile
from stream.sources.measured import MeasuredSpectrum, read_measured
from xas.errors import BadSpectrum, Reject, Retry
from xas.structure import StructureBatch

Floats = NDArray[np.float64]
SAMPLED_FRAMES = 32
PATIENCE_S = 10.0
_ONE_AT_A_TIME = threading.Lock()  # predictions take a core


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All (n_energy,) float64: a run, what it is compared with, their difference and its band.

    errors  one standard deviation of ``run``; ``words``: what was compared, and how far apart
    """

    words: str
    energy: Floats
    run: Floats
    reference: Floats
    difference: Floats
    errors: Floats | None

    @classmethod
    def of(
        cls, what: str, energy: Floats, run: Floats, reference: Floats, errors: Floats | None
    ) -> Comparison:
        """Run minus reference; NaN where one of them is not known."""
        known = np.isfinite(run) & np.isfinite(reference)
        if not known.any():
            raise Reject(f"{what}: it has no energy in common with this run")
        far = np.abs(run - reference)[known].sum() / np.abs(reference)[known].sum()
        return cls(
            words=f"{what}: {100 * far:.1f} % apart",
            energy=energy,
            run=run,
            reference=reference,
            difference=run - reference,
            errors=errors,
        )


def with_run(file: RunFile, other: RunFile) -> Comparison:
    """The averages of two runs, on the energies of the first."""
    _require_average(file)
    _require_average(other)
    if (file.header.element, file.header.edge) != (other.header.element, other.header.edge):
        raise Reject(f"run {other.header.run!r} is of {other.header.element} {other.header.edge}")
    there = np.interp(file.energy, other.energy, other.average.intensity, left=np.nan, right=np.nan)
    what = f"minus run {other.header.run} ({other.average.n} frames)"
    average = file.average
    return Comparison.of(what, file.energy, average.intensity, there, average.errors)


def with_measured(file: RunFile, spectrum: MeasuredSpectrum) -> Comparison:
    """A measured spectrum and the average, both in edge steps, after a shift and a scale."""
    _require_average(file)
    if spectrum.element not in (None, "", file.header.element):
        raise BadSpectrum(f"{spectrum.name} is of {spectrum.element}, not {file.header.element}")
    average = file.average
    found = match(spectrum, file.energy, average.intensity, average.errors)
    limit = " (at its limit: they do not belong together)" if found.at_limit else ""
    return Comparison.of(
        f"minus measured {found.name}, in edge steps, moved by {found.shift_ev:+.2f} eV{limit}, "
        f"times {found.scale:.3f}",
        found.energy,
        found.predicted,
        found.measured,
        found.errors,
    )


def measured_from(name: str, content: bytes) -> MeasuredSpectrum:
    """A measured spectrum out of the bytes of a file; BadSpectrum says what is wrong with it."""
    with tempfile.TemporaryDirectory(prefix="es-measured-") as folder:
        path = Path(folder) / "measured.xdi"
        path.write_bytes(content)
        try:
            found = read_measured(path)
        except BadSpectrum as error:
            raise BadSpectrum(str(error).replace(str(path), name)) from None
    if found.name != path.stem:
        return found
    return MeasuredSpectrum(
        energy_ev=found.energy_ev, mu=found.mu, element=found.element, edge=found.edge, name=name
    )


def with_model(file: RunFile, reference: str, models: str | None) -> Comparison:
    """The same frames by another model: SAMPLED_FRAMES of the run, evenly, the same absorbers.

    Raises Reject where the run keeps no structures, UnknownModel where there is no such model.
    """
    from edgestream.prediction import predict  # with a runtime that only this needs

    _require_average(file)
    frames = np.unique(np.linspace(0, file.n_frames - 1, SAMPLED_FRAMES).astype(np.int64))
    status = np.asarray(rows_at(file, "status", frames))
    frames = frames[status == 1]
    if not len(frames):
        raise Reject("none of the frames that were tried has a spectrum")
    absorbers = [sites_of(file, int(i))["atom"].tolist() for i in frames]
    batch = StructureBatch.concatenate([file.structures(slice(int(i), int(i) + 1)) for i in frames])
    if not _ONE_AT_A_TIME.acquire(timeout=PATIENCE_S):
        raise Retry("others are comparing with models: choose it again in a moment")
    try:
        spectra = predict(batch, reference, absorbers=absorbers, models=models)
    finally:
        _ONE_AT_A_TIME.release()
    means = np.stack(
        [spectra.intensity[spectra.structure == k].mean(0) for k in range(len(frames))]
    )
    there = np.interp(file.energy, spectra.energy, means.mean(axis=0), left=np.nan, right=np.nan)
    here = rows_at(file, "intensity", frames).mean(axis=0, dtype=np.float64)
    errors = rows_at(file, "intensity_errors", frames).mean(axis=0, dtype=np.float64)
    what = f"minus {spectra.model}, for the same {len(frames)} frames"
    return Comparison.of(what, file.energy, here, there, errors)


def _require_average(file: RunFile) -> None:
    if not file.average.n:
        raise Reject(f"run {file.header.run!r} has no predicted frame on disk yet")
