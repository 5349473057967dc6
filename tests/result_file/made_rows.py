"""Rows whose every number follows from the frame's index, and a clock that tests move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stream.result_file.header import RunHeader
from stream.result_file.reader import RunFile
from stream.result_file.rows import DEAD_LETTERED, PREDICTED, Rows
from stream.result_file.run_folder import RunFolder
from xas.structure import StructureBatch

N_ENERGY = 7
RUN = "md-300K"
HEADER = RunHeader(
    run=RUN,
    element="Fe",
    edge="K",
    energy=np.linspace(7097.0, 7172.0, N_ENERGY),
    time_units="fs",
    start_time=1.7e9,
    title="a test",
    descriptor='{"kind": "wacsf"}',
    edge_step_method="mean of the last 10 eV",
)

OpenRun = Callable[..., RunFolder]  # recovers the run of a test with the next epoch


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 1.7e9

    def __call__(self) -> float:
        return self.now


def make_rows(first: int, n: int, dead: tuple[int, ...] = (), n_energy: int = N_ENERGY) -> Rows:
    """Frames first .. first + n: 2 + i % 3 atoms and 1 + i % 2 sites for frame i."""
    index = np.arange(first, first + n)
    lost = np.isin(index, dead)
    intensity = (index[:, None] + np.arange(n_energy) / 16).astype(np.float32)
    intensity[lost] = np.nan
    pairs = np.where(lost, 0, 1 + index % 2)
    site_frame = np.repeat(index, pairs)
    site_atom = np.arange(len(site_frame)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    atoms = 2 + index % 3
    # the two sites of a frame differ, and their mean is the frame's spectrum
    aside = (site_frame % 2) * (site_atom - 0.5)
    site_intensity = (np.repeat(intensity, pairs, axis=0) + aside[:, None]).astype(np.float32)
    return Rows(
        first_index=first,
        frame_time=index * 4.0,
        status=np.where(lost, DEAD_LETTERED, PREDICTED).astype(np.uint8),
        intensity=intensity,
        errors=intensity / 10,
        edge_step=np.where(lost, np.nan, 2.0).astype(np.float32),
        novelty=(index % 5).astype(np.float32),
        model_index=np.where(lost, -1, 0).astype(np.int16),
        t_pushed=index + 0.25,
        t_predicted=index + 0.5,
        site_frame=site_frame,
        site_atom=site_atom.astype(np.int32),
        site_intensity=site_intensity,
        site_errors=site_intensity / 10,
        structures=StructureBatch.from_arrays(
            np.repeat(index % 90 + 1, atoms),
            np.repeat(index, atoms)[:, None] * [1.0, 2.0, 3.0],
            np.concatenate([[0], np.cumsum(atoms)]),
        ),
        reasons=tuple((int(i), f"frame {i} is bad: Å") for i in index[lost]),
    )


def assert_same_rows(found: Rows, expected: Rows) -> None:
    """Equal to the last bit, NaN where NaN is expected."""
    assert found.first_index == expected.first_index
    assert found.reasons == expected.reasons
    for name in Rows.__slots__:
        if name not in ("first_index", "reasons", "structures"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
    assert found.structures is not None
    assert expected.structures is not None
    for name in ("numbers", "positions", "offsets"):
        np.testing.assert_array_equal(
            getattr(found.structures, name), getattr(expected.structures, name)
        )


def rows_in(path: Path) -> Rows:
    """All rows of a result file."""
    with RunFile(path) as run:
        return Rows(
            first_index=0,
            frame_time=run.times,
            status=run.status,
            intensity=run.intensity[:],
            errors=run.errors[:],
            edge_step=run.edge_step,
            novelty=run.novelty,
            model_index=run.model_index,
            t_pushed=run.t_pushed,
            t_predicted=run.t_predicted,
            site_frame=run.sites.frame,
            site_atom=run.sites.atom,
            site_intensity=run.sites.intensity[:],
            site_errors=run.sites.errors[:],
            structures=run.structures(),
            reasons=tuple(run.dead_letters),
        )
