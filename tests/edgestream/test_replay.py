"""A recorded run predicted again: the same model gives the same numbers, whatever the batch."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import DEMO, N_FRAMES, call, complaint

import edgestream
from edgestream.feeding import Opened, Trajectory
from edgestream.models import load_predictor
from edgestream.progress import Silent
from edgestream.recorded_spool import open_recording
from edgestream.replay import Replay, Replayed, differences
from stream.codec import encode
from stream.messages import FrameBlock, RunSpec
from stream.result_file import RunFile, RunFolder
from stream.result_file.rows import ABSENT, DEAD_LETTERED, PREDICTED
from stream.result_file.salvage import absent
from stream.result_file.verify import verify
from stream.settings import Settings
from stream.spool import Spool, SpoolRecord
from xas.structure import StructureBatch


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo trajectory through a real service."""
    out = tmp_path_factory.mktemp("recorded") / "md.h5"
    call("run", DEMO, "-o", out, "-q", "--workers", 1)
    return out


def replayed(recorded: Path, out: Path, stop: threading.Event | None = None, **how) -> Replayed:
    predictor = load_predictor("fe-k")
    made = Replay(open_recording(recorded), predictor, out, origin=str(recorded), **how)
    return made.run(Silent(), stop or threading.Event())


@pytest.mark.parametrize("batch_atoms", [17, 17 * 7, 17 * 64, 1 << 20])
def test_the_same_model_gives_the_same_numbers_whatever_the_batch(
    recorded: Path, tmp_path: Path, batch_atoms: int
) -> None:
    done = replayed(recorded, tmp_path / "new.h5", batch_atoms=batch_atoms)
    assert (done.frames, done.dead_letters, done.interrupted) == (N_FRAMES, 0, False)
    with RunFile(recorded) as old, RunFile(tmp_path / "new.h5") as new:
        scale = np.abs(old.intensity[:]).max()
        assert np.abs(new.intensity[:] - old.intensity[:]).max() <= 1e-6 * scale
        assert np.abs(new.errors[:] - old.errors[:]).max() <= 1e-6 * scale
        np.testing.assert_array_equal(new.times, old.times)
        np.testing.assert_array_equal(new.sites.atom, old.sites.atom)
        np.testing.assert_array_equal(new.t_pushed, old.t_pushed)
    assert verify(tmp_path / "new.h5").faults == []


class StopLater(threading.Event):
    """Set when it was asked a few times."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._left = after

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0


def test_an_interrupted_replay_goes_on_to_the_same_file(recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.h5"
    first = replayed(recorded, out, StopLater(3), batch_atoms=17 * 50)
    assert (first.frames, first.interrupted) == (150, True)
    done = replayed(recorded, out, resume=True, batch_atoms=17 * 50)
    assert (done.frames, done.interrupted) == (N_FRAMES, False)
    assert verify(out).faults == []
    with RunFile(recorded) as old, RunFile(out) as new:
        assert np.nanmax(differences(old, new)) < 1e-4


def test_frames_that_were_lost_are_predicted_from_their_structures(
    recorded: Path, tmp_path: Path
) -> None:
    with RunFile(recorded) as run:
        header, structures = replace(run.header, run="torn"), run.structures()
    folder = RunFolder.recover(tmp_path, "torn", header=header, epoch=1)
    folder.append(replace(absent(0, N_FRAMES, header), structures=structures))
    done = replayed(folder.finish(sealed=True), tmp_path / "new.h5")
    assert done.dead_letters == 0
    with RunFile(tmp_path / "new.h5") as new, RunFile(recorded) as old:
        assert (new.status == PREDICTED).all()
        assert np.nanmax(differences(old, new)) < 1e-4


def test_a_structure_that_is_gone_becomes_a_dead_letter(recorded: Path, tmp_path: Path) -> None:
    with RunFile(recorded) as run:
        header = replace(run.header, run="torn")
    folder = RunFolder.recover(tmp_path, "torn", header=header, epoch=1)
    folder.append(absent(0, 3, header))
    replayed(folder.finish(sealed=True), tmp_path / "new.h5")
    with RunFile(tmp_path / "new.h5") as new:
        assert (new.status == DEAD_LETTERED).all()
    assert verify(tmp_path / "new.h5").faults == []


def test_the_command_replays_and_compares(recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.h5"
    done = json.loads(call("replay", recorded, "-o", out, "--compare", "--json", "-q").stdout)
    assert (done["frames"], done["compared_frames"]) == (N_FRAMES, N_FRAMES)
    assert done["max_percent"] < 1e-4
    assert "--resume" in complaint("replay", recorded, "-o", out)
    assert edgestream.open_run(out).sealed


def test_a_run_without_structures_is_refused_in_one_line(tmp_path: Path) -> None:
    out = tmp_path / "bare.h5"
    call("run", DEMO, "-o", out, "--every", 40, "--no-structures", "-q", "--workers", 1)
    assert "without structures" in complaint("replay", out, "-o", tmp_path / "new.h5")
    assert not (tmp_path / "new.h5").exists()


def spooled(folder: Path, structures: StructureBatch, model: str = "fe-k") -> Path:
    """Ten frames in blocks of two, as a producer leaves them that lost its server."""
    spool = Spool(folder, "md", settings=Settings(spool_bytes=800))
    spool.keep_record(SpoolRecord(run="md", spec=RunSpec(model=model, title="left behind")))
    for first in range(0, 10, 2):
        block = FrameBlock.of(
            structures[first : first + 2], run="md", first=first, model=model, t_pushed=1.0
        )
        spool.append(first, 2, encode(block))
    spool.close()
    return folder / "md"


def test_a_spool_is_replayed_where_no_service_is_left(recorded: Path, tmp_path: Path) -> None:
    with RunFile(recorded) as run:
        spool = spooled(tmp_path / "spool", run.structures(slice(0, 10)))
    done = json.loads(call("replay", spool, "-o", tmp_path / "md.h5", "--json", "-q").stdout)
    assert (done["frames"], done["dead_letters"]) == (10, 0)
    with RunFile(recorded) as old, RunFile(tmp_path / "md.h5") as new:
        np.testing.assert_allclose(new.intensity[:], old.intensity[:10], rtol=1e-4)
        assert new.header.title == "left behind"


def test_frames_that_a_spool_has_lost_keep_their_index(recorded: Path, tmp_path: Path) -> None:
    with RunFile(recorded) as run:
        spool = spooled(tmp_path / "spool", run.structures(slice(0, 10)))
    files = sorted(spool.glob("*.blocks"))
    files[0].unlink()  # trimmed: its rows were on disk
    files[2].write_bytes(files[2].read_bytes()[:-1])
    lost = [int(file.stem) for file in files[:4]]
    done = replayed(spool, tmp_path / "md.h5")
    assert done.frames == 10
    with RunFile(tmp_path / "md.h5") as new:
        absent_frames = np.flatnonzero(new.status == ABSENT).tolist()
    assert absent_frames == [*range(lost[0], lost[1]), *range(lost[2], lost[3])]


def test_a_folder_that_is_no_spool_is_named(tmp_path: Path) -> None:
    assert "not the spool" in complaint("replay", tmp_path, "-o", tmp_path / "new.h5")


def test_the_demo_has_as_many_frames_as_the_tests_say() -> None:
    assert sum(len(chunk.structures) for chunk in Opened(Trajectory(path=str(DEMO)))) == N_FRAMES
