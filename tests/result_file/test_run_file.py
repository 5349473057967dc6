"""Result files open everywhere, at every moment, and read like arrays."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import silx.io
from made_rows import HEADER, Clock, OpenRun, make_rows

from stream.result_file import draft
from stream.result_file.layout import STATE
from stream.result_file.reader import RunFile
from stream.result_file.run_folder import RunFolder
from xas.errors import BadResultFile


@pytest.fixture
def growing(open_run: OpenRun) -> Path:
    """A run that grows: 30 frames in 3 segments, one of them dead."""
    folder = open_run()
    for first in (0, 10, 20):
        folder.append(make_rows(first, 10, dead=(14,)))
    folder.refresh()
    return folder.path


def test_plain_h5py_reads_a_growing_file_from_any_folder(
    growing: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    expected = make_rows(0, 30, dead=(14,)).intensity
    for name in (growing, Path(os.path.relpath(growing))):
        with h5py.File(name) as file:
            np.testing.assert_array_equal(file["entry/intensity"][:], expected)
            np.testing.assert_array_equal(file["entry/spectra/intensity"][:], expected)
    (elsewhere / "link.h5").symlink_to(growing)
    with h5py.File(elsewhere / "link.h5") as file:
        np.testing.assert_array_equal(file["entry/intensity"][:], expected)


def test_a_growing_run_that_is_moved_whole_still_opens(growing: Path, tmp_path: Path) -> None:
    target = tmp_path / "moved"
    target.mkdir()
    shutil.move(growing, target)
    shutil.move(growing.with_suffix(".segments"), target)
    assert RunFile(target / growing.name).intensity[29, 0] == 29


def test_silx_opens_the_file_while_it_is_written(open_run: OpenRun, clock: Clock) -> None:
    folder = open_run()
    for first in range(0, 90, 10):
        folder.append(make_rows(first, 10))
        clock.now += 1
        folder.refresh()
        with silx.io.open(str(folder.path)) as root:
            default = root["entry"]
            assert default.attrs["NX_class"] == "NXentry"
            average = default[default.attrs["default"]]
            assert average[average.attrs["signal"]].shape == (7,)
            assert default["spectra/intensity"][first + 9, 0] == first + 9


def test_silx_finds_what_to_plot(growing: Path) -> None:
    from silx.io import nxdata

    with silx.io.open(str(growing)) as root:
        average = nxdata.get_default(root)
        assert average.signal_dataset_name == "intensity"
        assert average.axes_dataset_names == ["energy"]
        assert average.errors is not None
        spectra = nxdata.NXdata(root["entry/spectra"])
        assert spectra.is_valid
        assert [axis.shape for axis in spectra.axes] == [(30,), (7,)]


@pytest.mark.parametrize(
    "key",
    [3, -1, slice(None), slice(2, 20, 3), slice(25, 5), slice(None, None, -1), slice(-5, None),
     (4, 2), (slice(3, 6), slice(1, 4)), [1, 5, 2], np.arange(30) % 2 == 0, ..., (..., 2)],
)  # fmt: skip
def test_a_column_is_sliced_like_an_array(growing: Path, key: object) -> None:
    column, array = RunFile(growing).intensity, make_rows(0, 30, dead=(14,)).intensity
    np.testing.assert_array_equal(column[key], array[key])  # type: ignore[index]


def test_a_column_counts_like_an_array(growing: Path) -> None:
    run, array = RunFile(growing), make_rows(0, 30, dead=(14,)).intensity
    assert run.intensity.shape == array.shape
    assert run.intensity.dtype == array.dtype
    np.testing.assert_array_equal(np.nanmean(run.intensity, axis=0), np.nanmean(array, axis=0))
    np.testing.assert_array_equal(run.intensity / 2 - run.errors, array / 2 - array / 10)
    np.testing.assert_array_equal(run.normalised(), array / 2)
    with pytest.raises(IndexError):
        run.intensity[30]


def test_a_slice_reads_no_more_than_it_needs(open_run: OpenRun) -> None:
    folder = open_run()
    folder.append(make_rows(0, 20_000))
    run = RunFile(folder.finish(sealed=True))
    tracemalloc.start()
    assert run.intensity[19_000:19_010].shape == (10, 7)
    assert tracemalloc.get_traced_memory()[1] < 20_000 * 7
    tracemalloc.stop()


def test_an_open_run_shows_the_frames_of_its_opening_until_refreshed(
    open_run: OpenRun, clock: Clock
) -> None:
    folder = open_run(grace_s=0.0)
    folder.append(make_rows(0, 10))
    folder.refresh()
    run = RunFile(folder.path)
    folder.append(make_rows(10, 10))
    folder.finish(sealed=True)
    assert not list(folder.path.parent.glob("*.segments"))  # all it had open is gone
    np.testing.assert_array_equal(run.intensity, make_rows(0, 10).intensity)
    assert (len(run), run.finished, run.average.n) == (10, False, 10)
    assert len(run.structures()) == 10
    run.refresh()
    assert (len(run), run.finished, run.average.n) == (20, True, 20)
    np.testing.assert_array_equal(run.sites.frame, make_rows(0, 20).site_frame)


def test_structures_come_back_to_be_predicted_again(growing: Path) -> None:
    found, expected = RunFile(growing).structures(slice(8, 23)), make_rows(8, 15).structures
    assert expected is not None
    np.testing.assert_array_equal(found.positions, expected.positions)
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    assert found.cells is None


def test_a_file_open_with_plain_h5py_in_the_same_process_is_no_obstacle(
    open_run: OpenRun, clock: Clock
) -> None:
    folder = open_run()
    folder.append(make_rows(0, 1))
    folder.refresh()
    with h5py.File(folder.path) as plain:
        status = plain["entry/status"]
        assert status[0] == 1
        with RunFile(folder.path) as run:
            assert run.intensity[0, 0] == 0
            for i in range(1, 9):
                folder.append(make_rows(i, 1))
            folder.refresh(force=True)
        assert plain["entry/intensity"][0, 0] == 0
    folder.finish(sealed=True)


def foreign(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["entry/energy"] = [1.0]


def newer(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file[STATE] = json.dumps({"format": 2}).encode()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "not a result file"),
        (lambda path: path.write_text("notes"), "not a result file"),
        (foreign, "not a result file"),
        (newer, "later edgestream"),
    ],
)
def test_a_file_that_is_not_ours_is_refused_in_one_line(
    tmp_path: Path, make: object, message: str
) -> None:
    make(tmp_path / "x.h5")  # type: ignore[operator]
    with pytest.raises(BadResultFile, match=message) as error:
        RunFile(tmp_path / "x.h5")
    assert "\n" not in str(error.value)


def test_a_truncated_file_and_a_segment_are_refused(growing: Path, open_run: OpenRun) -> None:
    part = next(growing.with_suffix(".segments").glob("*.h5"))
    with pytest.raises(BadResultFile, match="not a result file"):
        RunFile(part)
    os.truncate(growing, growing.stat().st_size // 2)
    with pytest.raises(BadResultFile, match="not a result file"):
        RunFile(growing)


def test_a_growing_file_without_its_segments_says_so(growing: Path) -> None:
    run = RunFile(growing)
    shutil.rmtree(growing.with_suffix(".segments"))
    with pytest.raises(BadResultFile, match=r"copy its \.segments folder too"):
        run.intensity[0]


def test_finishing_copies_in_bounded_memory(
    open_run: OpenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft, "CHUNK", 1 << 15)
    folder = open_run()
    for first in range(0, 20_000, 5_000):
        folder.append(make_rows(first, 5_000))
    tracemalloc.start()
    folder.finish(sealed=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert folder.path.stat().st_size > 4_000_000
    assert peak < 500_000


def test_a_name_with_a_percent_sign_is_no_pattern(tmp_path: Path) -> None:
    folder = RunFolder.recover(tmp_path, "50%b", header=HEADER, epoch=1)
    folder.add_model("fe-k", "1", "ab" * 32)
    folder.append(make_rows(0, 3))
    folder.refresh()
    np.testing.assert_array_equal(RunFile(folder.path).intensity, make_rows(0, 3).intensity)
