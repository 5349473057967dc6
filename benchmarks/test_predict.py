"""Structure to spectrum in one process: single network and ensemble, lone and in batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgestream.models import open_store
from model_store.runtime import Session
from workers.predictor import Predictor
from xas.descriptor import Descriptor

MODELS = ("fe-k-fast", "fe-k")
SIZES = (1, 64, 256)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("model", MODELS)
def test_structures_become_spectra(benchmark: Any, fe_complexes: Any, model: str, n: int) -> None:
    predictor = Predictor(open_store().get(model))
    structures = fe_complexes.structures[:n]
    prediction = benchmark(lambda: predictor.predict(structures))
    assert len(prediction.sites) >= n
    assert not prediction.reasons


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("model", MODELS)
def test_features_become_spectra(benchmark: Any, fe_complexes: Any, model: str, n: int) -> None:
    bundle = open_store().get(model)
    session = Session(bundle)
    descriptor = Descriptor(bundle.manifest.descriptor)
    features = descriptor.featurise(fe_complexes.structures, fe_complexes.sites).values[:n]
    mean, _, _ = benchmark(lambda: session.run(features))
    assert np.isfinite(mean).all()
