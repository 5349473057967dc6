"""The descriptor alone: neighbours are given, or found on the way. Times are of a whole batch.

pytest benchmarks/test_kernel.py --benchmark-timer=time.process_time; --benchmark-json adds
``us_a_site``, the least CPU time of a batch for each of its sites.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.recipe import resolved_descriptor
from xas.descriptor import Descriptor, DescriptorSpec
from xas.faults import CheckedStructures
from xas.neighbours import neighbours_of_sites
from xas.structure import Sites, StructureBatch
from xas.wacsf import wacsf

SPECS = {"paper": DescriptorSpec.paper_2022(), "fe-k": resolved_descriptor()}
N_SITES = 128

Batch = tuple[StructureBatch, Sites]


def complexes() -> Batch:
    """Fe complexes of 44 to 56 atoms, one absorber each."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    path = Path(os.environ.get("EDGESTREAM_DATA", beside)) / "fe_k_xanesnet.npz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with np.load(path) as found:
        offsets, numbers, positions = (found[k] for k in ("offsets", "numbers", "positions"))
    size = np.diff(offsets)
    chosen = np.flatnonzero((size >= 44) & (size <= 56))[:N_SITES]
    parts = [slice(offsets[i], offsets[i + 1]) for i in chosen]
    batch = StructureBatch.concatenate(
        [StructureBatch.from_arrays(numbers[p], positions[p]) for p in parts]
    )
    return batch, Sites(np.arange(N_SITES), np.zeros(N_SITES, dtype=np.int64))


def liquid() -> Batch:
    """A periodic frame of 1,000 atoms, 89 of them within 6 angstrom of another on average."""
    rng = np.random.default_rng(0)
    side = (1000.0 / (89.0 / (4.0 / 3.0 * np.pi * 6.0**3))) ** (1.0 / 3.0)
    grid = np.stack(np.meshgrid(*[np.arange(10)] * 3), axis=-1).reshape(-1, 3) * (side / 10.0)
    batch = StructureBatch.from_arrays(
        rng.choice([1, 8], 1000),
        grid + rng.normal(0.0, 0.25, grid.shape),
        None,
        [np.eye(3) * side],
        [[True] * 3],
    )
    return batch, Sites(np.zeros(N_SITES, dtype=np.int64), np.arange(N_SITES))


MATTER = {"complexes": complexes, "liquid": liquid}


@pytest.mark.parametrize("matter", MATTER)
@pytest.mark.parametrize("name", SPECS)
def test_features_of_given_neighbours(benchmark: Any, name: str, matter: str) -> None:
    spec = SPECS[name]
    near = neighbours_of_sites(*MATTER[matter](), spec.cutoff_angstrom)
    values, _ = benchmark(lambda: wacsf(spec, near))
    benchmark.extra_info["us_a_site"] = benchmark.stats.stats.min / N_SITES * 1e6
    assert np.isfinite(values).all()


@pytest.mark.parametrize("matter", MATTER)
@pytest.mark.parametrize("name", SPECS)
def test_features_of_checked_structures_into_a_buffer(
    benchmark: Any, name: str, matter: str
) -> None:
    batch, sites = MATTER[matter]()
    descriptor = Descriptor(SPECS[name])
    checked = CheckedStructures(batch, descriptor.spec.cutoff_angstrom)
    out = np.empty((N_SITES, descriptor.n_features), dtype=np.float32)
    features = benchmark(lambda: descriptor.featurise(checked, sites, out=out))
    benchmark.extra_info["us_a_site"] = benchmark.stats.stats.min / N_SITES * 1e6
    assert np.isfinite(features.values).all()


@pytest.mark.parametrize("matter", MATTER)
def test_checking_structures(benchmark: Any, matter: str) -> None:
    batch, _ = MATTER[matter]()
    assert not benchmark(lambda: CheckedStructures(batch, 6.0)).faults
