from __future__ import annotations

import numpy as np
import pytest

from trainer.principal import principal_axes, standard_scale


@pytest.mark.parametrize("shape", [(50, 8), (8, 50), (20, 20)])
def test_principal_axes_are_those_of_the_singular_value_decomposition(
    shape: tuple[int, int],
) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    variance, axes = principal_axes(x)
    _, singular, directions = np.linalg.svd(x, full_matrices=False)
    used = len(variance)
    np.testing.assert_allclose(variance, singular[:used] ** 2 / len(x), rtol=1e-9)
    overlap = np.abs(np.sum(axes * directions[:used].T, axis=0))
    np.testing.assert_allclose(overlap, 1.0, atol=1e-9)


def test_axes_without_variance_are_left_out() -> None:
    x = np.outer(np.arange(5.0) - 2.0, [3.0, 4.0, 0.0])
    variance, axes = principal_axes(x)
    np.testing.assert_allclose(axes[:, 0], [0.6, 0.8, 0.0], atol=1e-12)
    assert variance.shape == (1,)
    assert principal_axes(np.zeros((4, 3)))[0].shape == (0,)


def test_a_constant_column_does_not_vary_whatever_its_size() -> None:
    x = np.array([[1e6, 0.0, 1.0], [1e6 + 1e-3, 0.0, 2.0]])
    assert standard_scale(x)[2].tolist() == [False, False, True]
