"""``edgestream match``: a measured spectrum against a run or a file of structures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgestream.feeding import Trajectory
from edgestream.match import Match, match
from edgestream.predict_command import predict_file
from edgestream.prediction import open_run
from stream.sources.measured import MeasuredSpectrum, read_measured
from xas.errors import BadSpectrum, BadTrajectory, Reject

Array = NDArray[np.float64]


def match_file(
    measured: Path, predicted: Path, *, model: str | None, models: str | None, plot: Path | None
) -> Match:
    """The agreement; BadSpectrum for another element, or for a run without spectra.

    model: of structures, None: fe-k; Reject beside a result file, which has its spectra already.
    """
    if measured.suffix == ".h5":
        raise BadSpectrum(f"{measured}: the measured spectrum comes first, the result file second")
    if predicted.suffix == ".h5" and model is not None:
        raise Reject(
            f"--model {model}: {predicted} has its spectra already; of another model: "
            f"edgestream replay {predicted} --model {model} -o NEW.h5"
        )
    spectrum = read_measured(measured)
    errors: Array | None
    if predicted.suffix == ".h5":
        energy, intensity, errors = _average_of_run(predicted, spectrum)
    else:
        energy, intensity, errors = _average_of_structures(predicted, model or "fe-k", models)
    found = match(spectrum, energy, intensity, errors)
    if plot is not None:
        from edgestream.pictures import draw_match

        draw_match(found, plot)
    return found


def _average_of_run(path: Path, measured: MeasuredSpectrum) -> tuple[Array, Array, Array | None]:
    with open_run(path) as file:
        element = file.header.element
        if measured.element not in (None, "", element):
            raise BadSpectrum(f"{measured.name} is of {measured.element}, {path} of {element}")
        average = file.average
        if not average.n:
            raise BadSpectrum(f"{path} has no predicted frame yet")
        known = np.isfinite(average.errors).any()
        return file.energy, average.intensity, average.errors if known else None


def _average_of_structures(
    path: Path, model: str, models: str | None
) -> tuple[Array, Array, Array | None]:
    trajectory = Trajectory(path=str(path))
    spectra, fault = predict_file(trajectory, model, None, device="cpu", models=models)
    if fault:
        raise BadTrajectory(fault)
    # errors of one model do not average out over structures
    errors = spectra.known_errors
    mean = None if errors is None else errors.mean(axis=0, dtype=np.float64)
    return spectra.energy, spectra.intensity.mean(axis=0, dtype=np.float64), mean
