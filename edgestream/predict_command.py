"""``edgestream predict``: structures of a file, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from edgestream.feeding import Opened, Trajectory
from edgestream.models import load_predictor
from edgestream.prediction import Spectra, spectra_of
from edgestream.quantities import element_or_none
from stream.sources.frames import FrameChunk
from workers.predictor import Prediction, Predictor
from xas.errors import BadStructure, BadTrajectory
from xas.structure import Sites


def predict_file(
    trajectory: Trajectory, model: str, absorber: str | None, *, device: str, models: str | None
) -> tuple[Spectra, str]:
    """Spectra of every absorber in every structure, and where the file breaks off, or nothing.

    BadStructure names the first faulty structure.
    """
    predictor = load_predictor(model, models, device)
    opened = Opened(trajectory)
    opened.require_frames()
    parts: list[Spectra] = []
    frames, fault = 0, ""
    for chunk in _until_fault(opened):
        if isinstance(chunk, BadTrajectory):
            fault = str(chunk)
            break
        sites = trajectory.sites(chunk.structures)
        prediction = predictor.predict(chunk.structures, sites, element_or_none(absorber))
        if prediction.reasons:
            i = min(prediction.reasons)
            raise BadStructure(f"{trajectory.path}, frame {frames + i}: {prediction.reasons[i]}")
        parts.append(_shifted(predictor, prediction, frames))
        frames += len(chunk.structures)
    spectra = Spectra(
        energy=predictor.energy,
        intensity=np.concatenate([p.intensity for p in parts]),
        errors=np.concatenate([p.errors for p in parts]),
        novelty=np.concatenate([p.novelty for p in parts]),
        structure=np.concatenate([p.structure for p in parts]),
        atom=np.concatenate([p.atom for p in parts]),
        model=predictor.manifest.reference,
    )
    return spectra, fault


def _until_fault(opened: Opened) -> Iterator[FrameChunk | BadTrajectory]:
    try:
        yield from opened
    except BadTrajectory as error:
        yield error


def _shifted(predictor: Predictor, prediction: Prediction, frames: int) -> Spectra:
    sites = Sites(prediction.sites.structure + frames, prediction.sites.atom)
    return spectra_of(predictor, replace(prediction, sites=sites))
