"""Rows go in, and one file a run comes out, whatever happens in between."""

from __future__ import annotations

import gc
import os
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from made_rows import HEADER, RUN, Clock, OpenRun, assert_same_rows, make_rows, rows_in

from stream.result_file.draft import Draft
from stream.result_file.header import RunHeader
from stream.result_file.leftovers import sweep_finished
from stream.result_file.merging import MOST, next_merge, with_falling_levels
from stream.result_file.reader import RunFile
from stream.result_file.rows import Rows
from stream.result_file.run_folder import RunFolder
from stream.result_file.segment import Segment
from stream.result_file.survey import highest_epoch, survey
from xas.errors import BadResultFile, Fenced, RunRefused, StorageFailed


@pytest.mark.parametrize("finished", [False, True])
def test_every_row_comes_back_as_it_went_in(open_run: OpenRun, finished: bool) -> None:
    folder, whole = open_run(), make_rows(0, 50, dead=(0, 7, 49))
    for first, end in [(0, 1), (1, 8), (8, 8), (8, 49), (49, 50)]:
        folder.append(whole[first:end])
    folder.refresh()
    if finished:
        folder.finish(sealed=True)
    assert_same_rows(rows_in(folder.path), whole)


@pytest.mark.usefixtures("few_segments")
def test_files_that_are_written_leave_nothing_to_the_collector(open_run: OpenRun) -> None:
    """Their buffers would wait for it, more and more of them as a run grows."""
    folder = open_run()
    gc.collect()
    gc.disable()
    try:
        for i in range(9):
            folder.append(make_rows(10 * i, 10))
            folder.refresh(force=True)
        folder.finish(sealed=True)
        # type(), since some objects look up a class of their own, with a warning
        assert not [left for left in gc.get_objects() if type(left) is Draft]
    finally:
        gc.enable()


def test_the_layout_is_that_of_the_design(open_run: OpenRun) -> None:
    folder = open_run()
    folder.append(make_rows(0, 4, dead=(2,)))
    with h5py.File(folder.finish(sealed=True, dropped=3)) as file:
        entry = file["entry"]
        assert entry.attrs["default"] == "average"
        assert entry["title"].asstr()[()] == "a test"
        assert entry["element/symbol"].asstr()[()] == "Fe"
        assert entry["energy"].attrs["units"] == "eV"
        assert list(entry["spectra"].attrs["axes"]) == ["frame_time", "energy"]
        assert entry["spectra/frame_time"].attrs["units"] == "fs"
        assert entry["intensity"].attrs["interpretation"] == "spectrum"
        assert entry["intensity_normalised"].attrs["edge_step_method"] == "mean of the last 10 eV"
        np.testing.assert_array_equal(entry["intensity_normalised"][1], entry["intensity"][1] / 2)
        assert entry["models/name"].asstr()[0] == "fe-k"
        assert entry["dropped"][()] == 3
        assert entry["average/n"][()] == 3
        assert "definition" not in entry


def one_site_each(rows: Rows) -> Rows:
    """The same, but the spectra of the sites are those of the frames."""
    return replace(
        rows,
        site_frame=np.arange(rows.first_index, rows.end_index),
        site_atom=np.zeros(len(rows), np.int32),
        site_intensity=rows.intensity,
        site_errors=rows.errors,
    )


@pytest.mark.usefixtures("few_segments")
def test_spectra_of_frames_with_one_site_each_are_stored_once(open_run: OpenRun) -> None:
    folder, whole = open_run(), one_site_each(make_rows(0, 900))
    for first in range(0, 900, 100):
        folder.append(whole[first : first + 100])
    folder.refresh()
    assert_same_rows(rows_in(folder.path), whole)
    folder = open_run()
    with h5py.File(folder.finish(sealed=True)) as file:
        assert file["entry/sites/intensity"] == file["entry/intensity"]
        assert file["entry/sites/intensity_errors"] == file["entry/intensity_errors"]
        assert file["entry/sites/intensity"].attrs["interpretation"] == "spectrum"
    assert_same_rows(rows_in(folder.path), whole)


@pytest.mark.usefixtures("few_segments")
def test_where_some_frames_have_more_sites_all_rows_are_still_right(open_run: OpenRun) -> None:
    folder, index = open_run(), range(0, 90, 10)
    blocks = [make_rows(i, 10, dead=(43,)) for i in index]
    blocks = [one_site_each(b) if b.first_index % 20 else b for b in blocks]
    for rows in blocks:
        folder.append(rows)
    folder.refresh()
    assert folder.n_segments < 7
    assert_same_rows(rows_in(folder.path), Rows.concatenate(blocks))
    assert_same_rows(rows_in(folder.finish(sealed=True)), Rows.concatenate(blocks))


def test_rows_must_go_on_where_the_file_ends(open_run: OpenRun) -> None:
    folder = open_run()
    folder.append(make_rows(0, 4))
    for wrong in (make_rows(5, 1), make_rows(3, 2), make_rows(4, 2, n_energy=6)):
        with pytest.raises(ValueError, match=r"goes on at frame 4|energies"):
            folder.append(wrong)
    assert folder.n_frames == 4


def test_a_model_is_listed_with_the_first_frame_it_predicted(open_run: OpenRun) -> None:
    folder = open_run()
    folder.append(make_rows(0, 3, dead=(0,)))
    second = folder.add_model("fe-k", "2", "cd" * 32)
    later = make_rows(3, 4)
    later.model_index[2:] = second
    folder.append(later)
    assert folder.add_model("fe-k", "1", "ab" * 32) == 0
    folder.refresh()
    assert [m.first_frame for m in RunFile(folder.path).models] == [1, 5]
    assert [m.version for m in open_run().models] == ["1", "2"]


def test_five_hundred_small_commits_stay_few_files(
    open_run: OpenRun, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)  # seconds of waiting for the disk
    folder, most = open_run(grace_s=0.0), 0
    whole = make_rows(0, 500)
    for i in range(500):
        folder.append(whole[i : i + 1])
        if i % 100 == 0:
            clock.now += 1.0
            folder.refresh()
            most = max(most, folder.n_segments)
    folder.refresh(force=True)
    assert most <= MOST
    assert len(list(folder.path.with_suffix(".segments").glob("*.h5"))) == folder.n_segments
    assert_same_rows(rows_in(folder.path), whole)


def commits(n: int, size: int, largest_bytes: int = 1 << 40) -> tuple[list[Segment], float, int]:
    """After n commits: the segments, how often a row was copied, the bytes of the largest merge."""
    segments: list[Segment] = []
    copied = largest = 0
    for i in range(n):
        one = Segment(
            path=Path("x"), epoch=1, seq=i, first=i, end=i + 1, level=0, first_atom=0,
            atoms=0, sites=0, dead=0, size=size,
        )  # fmt: skip
        segments.append(one)
        while part := next_merge(segments, largest_bytes):
            group = segments[part]
            total = sum(s.size for s in group)
            copied, largest = copied + total, max(largest, total)
            segments[part] = [replace(group[0], level=group[0].level + 1, size=total)]
            segments = with_falling_levels(segments)
        assert len(segments) <= MOST
    return segments, copied / (n * size), largest


def test_of_two_thousand_commits_each_row_is_copied_twice_and_few_files_stay() -> None:
    assert commits(MOST, 1000)[1] == 0
    assert commits(324, 1000)[1] <= 1
    segments, copies, _ = commits(2000, 1000)
    assert copies <= 2
    assert sum(segment.size for segment in segments) == 2000 * 1000


def test_no_merge_copies_more_than_a_fifth_of_a_large_run() -> None:
    _, copies, largest = commits(3000, 1000, largest_bytes=5000)
    assert largest <= 3000 * 1000 / 5
    assert copies <= 4


@pytest.mark.usefixtures("few_segments")
def test_a_reader_of_the_old_main_file_reads_its_rows_after_a_merge(
    open_run: OpenRun, clock: Clock
) -> None:
    folder, whole = open_run(grace_s=60.0), make_rows(0, 80)
    for i in range(0, 40, 10):
        folder.append(whole[i : i + 10])
    folder.refresh()
    with h5py.File(folder.path) as old:
        for i in range(40, 80, 10):
            folder.append(whole[i : i + 10])
        clock.now += 59.0
        folder.refresh()
        assert folder.n_segments == 1
        np.testing.assert_array_equal(old["entry/intensity"][:], whole[:40].intensity)
    clock.now += 61.0
    assert folder.sweep() == 0
    assert len(list(folder.path.with_suffix(".segments").glob("*.h5"))) == 1


def test_the_main_file_is_rewritten_at_most_once_a_second(open_run: OpenRun, clock: Clock) -> None:
    folder = open_run()
    folder.append(make_rows(0, 1))
    assert folder.refresh()
    folder.append(make_rows(1, 1))
    assert not folder.refresh()
    clock.now += 1.0
    assert folder.refresh()
    clock.now += 1.0
    assert not folder.refresh()  # nothing is new
    assert folder.refresh(force=True)


def test_an_interrupted_run_is_adopted_and_goes_on(open_run: OpenRun) -> None:
    folder, whole = open_run(grace_s=0.0), make_rows(0, 30, dead=(4,))
    folder.append(whole[:20])
    path = folder.finish(sealed=False, interrupted=True)
    assert RunFile(path).interrupted
    assert not path.with_suffix(".segments").exists()
    again = open_run(header=replace(HEADER, start_time=1.8e9))
    assert again.n_frames == 20
    again.append(whole[20:])
    again.refresh()
    growing = RunFile(path)
    assert not growing.finished
    assert growing.header.start_time == HEADER.start_time
    again.finish(sealed=True)
    assert_same_rows(rows_in(path), whole)
    assert RunFile(path).average.n == 29
    assert growing.intensity[29, 0] == 29  # the growing file was replaced underneath


def test_the_average_is_the_same_after_recovery(open_run: OpenRun) -> None:
    folder = open_run()
    for first in range(0, 60, 6):
        folder.append(make_rows(first, 6))
    again = open_run()
    for name in ("intensity", "errors", "spread", "standard_error"):
        np.testing.assert_allclose(
            getattr(again.average(), name), getattr(folder.average(), name), rtol=1e-9
        )


def test_a_finished_run_takes_no_more_rows(open_run: OpenRun) -> None:
    folder = open_run()
    folder.append(make_rows(0, 2))
    folder.finish(sealed=True)
    with pytest.raises(ValueError, match="is finished"):
        folder.append(make_rows(2, 2))
    with pytest.raises(RunRefused, match="finished with 2 frames"):
        open_run()


@pytest.mark.parametrize("frames", [0, 3])
def test_a_run_without_any_spectrum_is_a_file_too(open_run: OpenRun, frames: int) -> None:
    folder = open_run()
    folder.append(make_rows(0, frames, dead=tuple(range(frames))))
    folder.refresh(force=True)
    assert RunFile(folder.path).n_frames == frames
    run = RunFile(folder.finish(sealed=True))
    assert run.average.n == 0
    assert len(run.sites) == 0
    assert len(run.dead_letters) == frames
    assert len(run.structures()) == frames


def test_a_run_without_energies_is_a_file_too(open_run: OpenRun) -> None:
    folder = open_run(header=replace(HEADER, energy=np.zeros(0)))
    for first in (0, 3):
        folder.append(make_rows(first, 3, dead=(0, 1, 2, 3, 4, 5), n_energy=0))
        folder.refresh(force=True)
    assert RunFile(folder.finish(sealed=True)).intensity[:].shape == (6, 0)


def test_structures_can_be_left_out(open_run: OpenRun) -> None:
    folder = open_run(header=replace(HEADER, keep_structures=False))
    folder.append(replace(make_rows(0, 3), structures=None))
    folder.append(make_rows(3, 3))
    run = RunFile(folder.finish(sealed=True))
    np.testing.assert_array_equal(run.intensity[:], make_rows(0, 6).intensity)
    with pytest.raises(BadResultFile, match="without structures"):
        run.structures()


@pytest.mark.parametrize(
    "other",
    [
        replace(HEADER, energy=HEADER.energy + 1),
        replace(HEADER, element="Cu"),
        replace(HEADER, time_units="frame"),
    ],
)
def test_a_run_is_not_resumed_as_something_else(open_run: OpenRun, other: RunHeader) -> None:
    open_run().append(make_rows(0, 2))
    with pytest.raises(RunRefused, match="was started with"):
        open_run(header=other)


def test_a_file_that_is_not_ours_is_left_alone(open_run: OpenRun, tmp_path: Path) -> None:
    (tmp_path / f"{RUN}.h5").write_text("notes")
    with pytest.raises(BadResultFile, match="move it away"):
        open_run()
    assert (tmp_path / f"{RUN}.h5").read_text() == "notes"


@pytest.mark.usefixtures("few_segments")
def test_a_writer_whose_run_was_taken_over_stops(open_run: OpenRun, clock: Clock) -> None:
    old, whole = open_run(grace_s=0.0), make_rows(0, 20)
    for i in range(8):
        old.append(whole[i : i + 1])
    old.refresh()
    old.append(whole[8:10])
    new = open_run()
    with pytest.raises(Fenced, match="another writer has taken over"):
        old.append(whole[10:20])
    clock.now += 10
    with pytest.raises(Fenced):
        old.refresh()
    assert old.sweep() == 0
    new.append(whole[10:])
    new.check()
    assert_same_rows(rows_in(new.finish(sealed=True)), whole)


def test_an_epoch_is_used_once(open_run: OpenRun, tmp_path: Path) -> None:
    folder = open_run()
    with pytest.raises(Fenced, match="is not new"):
        RunFolder.recover(tmp_path, RUN, header=HEADER, epoch=folder.epoch)
    folder.append(make_rows(0, 1))
    folder.grace_s = 0.0
    folder.finish(sealed=True)
    assert highest_epoch(tmp_path, RUN) == folder.epoch


def test_what_a_fenced_writer_wrote_late_costs_no_row(open_run: OpenRun, tmp_path: Path) -> None:
    old, whole = open_run(), make_rows(0, 30)
    old.append(whole[:10])
    new = open_run()
    hidden = tmp_path / "hidden"
    (tmp_path / f"{RUN}.segments").joinpath("e000002.epoch").rename(hidden)
    old.append(whole[10:17])  # as if it had looked before the new one came
    hidden.rename(tmp_path / f"{RUN}.segments" / "e000002.epoch")
    new.append(whole[10:13])
    new.append(whole[13:30])
    again = open_run()
    assert again.n_frames == 30
    assert_same_rows(rows_in(again.finish(sealed=True)), whole)


def test_a_segment_that_vanishes_stops_the_writer(open_run: OpenRun) -> None:
    folder = open_run()
    folder.append(make_rows(0, 4))
    folder.refresh()
    folder.check()
    segment = next(folder.path.with_suffix(".segments").glob("*.h5"))
    os.truncate(segment, 100)
    with pytest.raises(StorageFailed, match="changed by another program"):
        folder.check()
    segment.unlink()
    with pytest.raises(StorageFailed, match="No such file"):
        folder.check()


def test_a_main_file_that_vanishes_is_written_again(open_run: OpenRun) -> None:
    folder = open_run()
    folder.append(make_rows(0, 4))
    folder.refresh()
    folder.path.unlink()
    folder.check()
    assert RunFile(folder.path).n_frames == 4


def test_rows_beyond_a_gap_are_put_aside_not_removed(open_run: OpenRun) -> None:
    folder, whole = open_run(), make_rows(0, 30)
    for i in range(0, 30, 10):
        folder.append(whole[i : i + 10])
    segments = folder.path.with_suffix(".segments")
    middle = next(segments.glob("*-000000010-*.h5"))
    os.truncate(middle, middle.stat().st_size - 1000)
    again = open_run()
    assert again.n_frames == 10
    assert len(list(segments.glob("*.stranded"))) == 2
    again.append(whole[10:])
    assert_same_rows(rows_in(again.finish(sealed=True)), whole)


def test_segments_of_a_finished_run_are_swept_by_who_comes_later(
    open_run: OpenRun, tmp_path: Path, clock: Clock
) -> None:
    folder = open_run()
    folder.append(make_rows(0, 5))
    folder.append(make_rows(5, 5))
    assert not sweep_finished(tmp_path, RUN, grace_s=0.0, clock=clock)  # it grows
    folder.finish(sealed=True)
    written = folder.path.stat().st_mtime
    assert not sweep_finished(tmp_path, RUN, grace_s=60.0, clock=Clock(written + 59))
    assert sweep_finished(tmp_path, RUN, grace_s=60.0, clock=Clock(written + 61))
    assert list(tmp_path.iterdir()) == [tmp_path / f"{RUN}.h5"]
    assert survey(tmp_path, RUN).n_frames == 10
