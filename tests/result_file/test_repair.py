"""repair saves all rows that hold, says what is lost, and touches nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from made_rows import RUN, OpenRun, assert_same_rows, make_rows, rows_in
from test_verify import DEAD, finished, spoil

from stream.result_file import RunFolder
from stream.result_file.repair import repair
from stream.result_file.survey import segments_path
from stream.result_file.verify import verify
from xas.errors import BadResultFile, OutputExists


def alone(folder: RunFolder) -> Path:
    """The finished file, without the segments that would help."""
    path = finished(folder)
    shutil.rmtree(segments_path(folder.folder, RUN))
    return path


def cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def test_a_file_without_its_end_loses_only_what_can_be_computed_again(
    three_segments: RunFolder,
) -> None:
    path = alone(three_segments)
    cut(path, 0.97)
    before = path.read_bytes()
    done = repair(path)
    assert (done.lost, done.lost_structures, done.saved) == ([], [], 600)
    assert path.read_bytes() == before
    assert verify(Path(done.file)).faults == []
    assert_same_rows(rows_in(Path(done.file)), make_rows(0, 600, dead=DEAD))


def test_spectra_are_saved_where_structures_are_cut_off(
    three_segments: RunFolder,
) -> None:
    path = alone(three_segments)
    cut(path, 0.75)
    done = repair(path)
    assert done.lost == []
    assert done.lost_structures == [(0, 600)]
    assert verify(Path(done.file)).faults == []


def test_a_spoilt_stretch_becomes_absent_rows_and_keeps_its_structures(
    three_segments: RunFolder,
) -> None:
    path = alone(three_segments)
    spoil(path, "intensity", 450)
    done = repair(path)
    assert (done.lost, done.lost_structures) == ([(356, 500)], [])
    found = rows_in(Path(done.file))
    assert_same_rows(found[:356], make_rows(0, 356, dead=DEAD))
    assert_same_rows(found[500:], make_rows(500, 100, dead=DEAD))
    assert verify(Path(done.file)).faults == [
        "frames 356-499: absent: it has neither a row nor a dead letter"
    ]


def test_segments_give_back_what_the_main_file_lost(
    three_segments: RunFolder,
) -> None:
    path = finished(three_segments)  # the segments stay for their grace
    spoil(path, "intensity", 450)
    spoil(path, "status", 5)
    done = repair(path, path.with_name("other.h5"))
    assert done.lost == []
    assert_same_rows(rows_in(path.with_name("other.h5")), make_rows(0, 600, dead=DEAD))


def test_a_missing_segment_costs_its_frames_and_no_other(
    three_segments: RunFolder,
) -> None:
    place = segments_path(three_segments.folder, RUN)
    next(place.glob("*-000000100-000000500.h5")).unlink()
    done = repair(three_segments.path)
    assert (done.frames, done.lost) == (600, [(100, 500)])
    assert_same_rows(rows_in(Path(done.file))[500:], make_rows(500, 100, dead=DEAD))


def test_segments_without_a_main_file_are_a_run(three_segments: RunFolder) -> None:
    three_segments.path.unlink()
    done = repair(three_segments.path)
    assert (done.saved, done.lost) == (600, [])


def test_nothing_is_overwritten_and_nonsense_is_refused(
    three_segments: RunFolder,
    tmp_path: Path,
) -> None:
    repair(three_segments.path)
    with pytest.raises(OutputExists):
        repair(three_segments.path)
    nonsense = tmp_path / "nonsense.h5"
    nonsense.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 9)
    with pytest.raises(BadResultFile, match="nothing is left"):
        repair(nonsense)
    with pytest.raises(BadResultFile, match="no such file"):
        repair(tmp_path / "none.h5")


@pytest.mark.parametrize("size", [0, 1, 40, 3000])
def test_a_file_that_is_cut_to_its_head_is_refused_in_one_line(
    three_segments: RunFolder,
    size: int,
) -> None:
    path = alone(three_segments)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(BadResultFile, match="nothing is left"):
        repair(path)


def test_repair_works_for_a_run_of_any_open_test(open_run: OpenRun) -> None:
    folder = open_run()
    folder.append(make_rows(0, 1))
    folder.refresh(force=True)
    assert repair(folder.path).saved == 1
