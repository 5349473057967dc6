"""verify finds what is wrong with a result file, and nothing where nothing is."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from made_rows import HEADER, RUN, OpenRun, make_rows
from xxhash import xxh3_64_intdigest

from stream.result_file import RunFolder
from stream.result_file.layout import CHECKED, columns
from stream.result_file.segment import read_state
from stream.result_file.verify import verify
from xas.errors import BadResultFile

DEAD = (3, 317)


def finished(folder: RunFolder) -> Path:
    return folder.finish(sealed=True)


def spoil(path: Path, name: str, row: int) -> None:
    """Flip one bit of a row of a column, where it lies in the file."""
    segment, contents = read_state(path)
    column = next(c for c in columns(True) if c.path == f"entry/{name}")
    at = segment.places[column.path] + row * column.row_bytes(contents.header.n_energy)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_growing_and_a_finished_run_have_no_fault(three_segments: RunFolder) -> None:
    for state in ("growing", "finished"):
        verdict = verify(three_segments.path)
        assert (verdict.faults, verdict.state) == ([], state)
        assert (verdict.frames, verdict.checked_frames, verdict.dead_letters) == (600, 600, 2)
        finished(three_segments)


def test_merged_rows_keep_their_checksums(open_run: OpenRun, few_segments: None) -> None:
    folder = open_run()
    for first in range(0, 300, 10):
        folder.append(make_rows(first, 10, dead=DEAD))
        folder.refresh(force=True)
    assert folder.n_segments < 10
    assert verify(folder.path).checked_frames == 300
    assert verify(finished(folder)).faults == []


@pytest.mark.parametrize("name", [path.removeprefix("entry/") for path in CHECKED])
def test_one_bit_in_any_column_is_found(three_segments: RunFolder, name: str) -> None:
    path = finished(three_segments)
    row = 1 if name.startswith("dead_letters") else 450
    spoil(path, name, row)
    faults = verify(path).faults
    assert any(f"{name} does not match its checksum" in fault for fault in faults), faults
    assert len(faults) == 1


def test_a_fault_names_the_frames_of_its_stretch(three_segments: RunFolder) -> None:
    path = finished(three_segments)
    spoil(path, "intensity", 450)
    assert verify(path).faults[0].startswith("frames 356-499: intensity does not match")


def test_a_missing_segment_is_one_line_with_its_frames(three_segments: RunFolder) -> None:
    gone = next(three_segments.path.with_suffix(".segments").glob("*-000000100-000000500.h5"))
    gone.unlink()
    (fault,) = verify(three_segments.path).faults
    assert fault == f"frames 100-499: segment {gone.name} is missing"


def change(path: Path, name: str, row: int, value: object) -> None:
    """Change a row with the library, and its checksum with it: what a faulty writer would do."""
    with h5py.File(path, "r+") as file:
        file[f"entry/{name}"][row] = value
        bounds = np.cumsum(np.vstack([np.zeros((1, 4), "i8"), file["entry/checksums/rows"][:]]), 0)
        for i, (low, high) in enumerate(pairwise(bounds)):
            axis = 1 if name.startswith("sites") else 3 if name.startswith("dead") else 0
            rows = file[f"entry/{name}"][low[axis] : high[axis]]
            column = CHECKED.index(f"entry/{name}")
            file["entry/checksums/values"][i, column] = xxh3_64_intdigest(rows.tobytes())


@pytest.mark.parametrize(
    ("name", "row", "value", "words"),
    [
        ("frame_index", 20, 19, "frame 20: its index is another"),
        ("status", 20, 0, "frame 20: absent"),
        ("status", 20, 7, "frame 20: its status is none"),
        ("status", 3, 1, "frame 3: "),
        ("model_index", 20, 5, "frame 20: its model is none of the run's"),
        ("sites/frame_index", 0, 5, "sites of other frames"),
        ("sites/atom_index", 0, 9, "a site of an atom that its structure does not have"),
        ("dead_letters/frame_index", 0, 4, "a reason without"),
        ("structures/offsets", 20, 0, "offsets of structures do not rise"),
        ("intensity", 20, 99.0, "frame 20: intensity is not the mean of its sites"),
        ("intensity_errors", 20, 99.0, "intensity_errors is not the mean of its sites"),
    ],
)
def test_rows_that_contradict_each_other_are_found(
    three_segments: RunFolder, name: str, row: int, value: object, words: str
) -> None:
    path = finished(three_segments)
    change(path, name, row, value)
    faults = verify(path).faults
    assert any(words in fault for fault in faults), faults


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("average/intensity", "average/intensity is not that of the rows"),
        ("average/standard_error", "average/standard_error is not that of the rows"),
        ("average/n", "the average is of"),
        ("energy", "the energies do not match their checksum"),
        ("models/first_frame", "models/first_frame is not what the writer noted"),
    ],
)
def test_what_is_said_of_the_rows_is_checked(
    three_segments: RunFolder, name: str, words: str
) -> None:
    path = finished(three_segments)
    with h5py.File(path, "r+") as file:
        file[f"entry/{name}"][...] = file[f"entry/{name}"][()] + 1
    faults = verify(path).faults
    assert any(words in fault for fault in faults), faults


def test_a_cut_file_is_a_fault_and_a_missing_one_an_error(three_segments: RunFolder) -> None:
    path = finished(three_segments)
    path.write_bytes(path.read_bytes()[:-1])
    verdict = verify(path)
    assert verdict.state == "unreadable"
    assert "truncated" in verdict.faults[0]
    with pytest.raises(BadResultFile, match="no such file"):
        verify(path.with_name("other.h5"))


def test_a_run_without_frames_or_structures_has_no_fault(tmp_path: Path) -> None:
    bare = replace(HEADER, keep_structures=False)
    folder = RunFolder.recover(tmp_path, RUN, header=bare, epoch=1)
    folder.add_model("fe-k", "1", "ab" * 32)
    folder.refresh(force=True)
    assert verify(folder.path).faults == []
    folder.append(make_rows(0, 30))
    folder.refresh(force=True)
    assert verify(folder.path).faults == []
    assert verify(folder.finish(sealed=True)).faults == []
