"""Figures: written whole in each format, decimated, and without touching global state."""

from __future__ import annotations

import numpy as np
import pytest

from edgestream.match import Match
from edgestream.plots import MAX_ROWS, plot_match, plot_predictions, plot_run, waterfall
from xas.errors import Reject, StorageFailed

ENERGY = np.linspace(7097.0, 7172.0, 40)
MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def spectra(n: int):
    return np.random.default_rng(0).random((n, 40)).astype(np.float32)


def run(path, intensity, times=None, **bands):
    mean = np.nanmean(intensity, axis=0)
    bands = {"errors": 0.1 * mean, "spread": 0.2 * mean} | bands
    plot_run(ENERGY, mean, bands["errors"], bands["spread"], intensity, times, path, "a $title")


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_run_is_drawn_in_the_format_of_its_name(tmp_path, suffix):
    path = tmp_path / f"run{suffix}"
    run(path, spectra(30), np.arange(30) * 4.0)
    assert path.read_bytes().startswith(MAGIC[suffix])
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_run_of_one_frame_without_times_or_bands_is_drawn(tmp_path):
    run(tmp_path / "one.png", spectra(1), errors=None, spread=None)
    assert (tmp_path / "one.png").stat().st_size > 1000


def test_missing_frames_stay_empty(tmp_path):
    intensity = spectra(20)
    intensity[5:9] = np.nan
    rows, _, _ = waterfall(intensity, None)
    assert np.isnan(rows[5:9]).all()
    assert np.isfinite(np.delete(rows, range(5, 9), axis=0)).all()
    run(tmp_path / "gaps.png", intensity)


class Slices:
    """A data set that may only be read in slices, as one in an open file."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.largest = 0

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, part: slice):
        self.largest = max(self.largest, part.stop - part.start)
        return np.arange(part.start, part.stop, dtype=np.float32)[:, None].repeat(40, axis=1)


def test_a_huge_run_is_read_in_slices_and_averaged_to_few_rows():
    data = Slices(100_000)
    rows, edges, label = waterfall(data, np.arange(100_000) * 2.0)
    assert rows.shape == (MAX_ROWS, 40)
    assert data.largest <= 201
    assert label == "time (ps)"
    np.testing.assert_allclose(rows[0], 99.5)
    np.testing.assert_allclose(edges[[0, -1]], [0.0, 200.0])
    assert (np.diff(edges) > 0).all()


@pytest.mark.parametrize(
    ("times", "label"),
    [
        (None, "frame"),
        (np.full(5, np.nan), "frame"),
        (np.zeros(5), "frame"),
        (np.arange(5) * 1.0, "time (fs)"),
        (np.arange(5) * 2e6, "time (ns)"),
    ],
)
def test_the_time_axis_falls_back_to_the_frame(times, label):
    assert waterfall(spectra(5), times)[2] == label


@pytest.mark.parametrize("n", [1, 7, 30])
def test_predictions_are_drawn_few_or_many(tmp_path, n):
    intensity = spectra(n)
    labels = [f"Fe {k}" for k in range(n)]
    plot_predictions(ENERGY, intensity, 0.1 * intensity, labels, tmp_path / "p.svg")
    text = (tmp_path / "p.svg").read_text()
    assert ("Fe 0" in text) == (n <= 7)


def test_a_match_is_drawn_with_its_numbers(tmp_path):
    found = Match(
        energy=ENERGY,
        measured=spectra(1)[0].astype(np.float64),
        predicted=spectra(1)[0].astype(np.float64),
        errors=np.full(40, 0.1),
        shift_ev=-0.434,
        scale=0.91,
        distance_percent=10.8,
        rms=0.1,
        correlation=0.97,
        within_errors=0.8,
        name="hematite",
    )
    plot_match(found, tmp_path / "m.svg")
    text = (tmp_path / "m.svg").read_text()
    assert "shift -0.43 eV, scale 0.910, distance 10.8 %" in text
    assert "measured: hematite" in text


def test_an_unknown_format_is_refused_before_anything_is_drawn(tmp_path):
    with pytest.raises(Reject, match=r"written as \.png, \.svg, \.pdf"):
        run(tmp_path / "run.bmp", spectra(3))


def test_an_empty_run_is_refused_and_leaves_no_file(tmp_path):
    with pytest.raises(Reject, match="no frame to draw"):
        plot_run(ENERGY, ENERGY, None, None, np.zeros((0, 40)), None, tmp_path / "run.png")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(StorageFailed, match="cannot be written"):
        run(tmp_path / "absent" / "run.png", spectra(3))


def test_drawing_changes_no_setting_of_the_user(tmp_path):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    run(tmp_path / "run.png", spectra(3))
    assert dict(mpl.rcParams) == before
