"""From structures to spectra in arrays: a row does not know its batch."""

from __future__ import annotations

import numpy as np
import pytest

from model_store.store import Store
from tests.bundles import iron_oxides
from workers.predictor import Predictor
from xas.structure import StructureBatch


@pytest.fixture(scope="module", params=["fe-k", "fe-k-fast"])
def predictor(request: pytest.FixtureRequest) -> Predictor:
    return Predictor(Store([]).get(request.param))


def test_a_frame_is_predicted_the_same_in_any_batch(predictor: Predictor) -> None:
    batch = iron_oxides(70)
    together = predictor.predict(batch)
    for size in (1, 2, 16, 33):
        parts = [predictor.predict(batch[i : i + size]) for i in range(0, 70, size)]
        for name in ("intensity", "errors", "novelty"):
            joined = np.concatenate([getattr(part, name) for part in parts])
            np.testing.assert_allclose(joined, getattr(together, name), rtol=1e-6, atol=1e-6)


def test_the_order_of_frames_changes_nothing(predictor: Predictor) -> None:
    batch = iron_oxides(20)
    order = np.random.default_rng(0).permutation(20)
    shuffled = predictor.predict(batch.take(order))
    straight = predictor.predict(batch)
    np.testing.assert_allclose(shuffled.intensity, straight.intensity[order], rtol=1e-6, atol=1e-6)


def test_a_faulty_frame_is_named_and_the_others_never_notice(predictor: Predictor) -> None:
    good = iron_oxides(6)
    broken, crushed = good.positions.copy(), good.offsets
    broken[crushed[1]] = np.nan
    broken[crushed[3] + 1] = broken[crushed[3]] + 0.01
    batch = StructureBatch.from_arrays(good.numbers, broken, good.offsets)
    prediction = predictor.predict(batch)
    assert "not finite" in prediction.reasons[1]
    assert "apart" in prediction.reasons[3]
    np.testing.assert_array_equal(prediction.sites.structure, [0, 2, 4, 5])
    alone = predictor.predict(good.take(np.array([0, 2, 4, 5])))
    np.testing.assert_allclose(prediction.intensity, alone.intensity, rtol=1e-6, atol=1e-6)


def test_a_batch_of_faults_has_no_spectra(predictor: Predictor) -> None:
    batch = iron_oxides(2)
    empty = predictor.predict(StructureBatch.from_arrays(batch.numbers * 0 + 8, batch.positions))
    assert len(empty.sites) == 0
    assert empty.intensity.shape == (0, len(predictor.energy))
    assert list(empty.reasons) == [0]


def test_the_models_own_check_input_passes(predictor: Predictor) -> None:
    predictor.check()
