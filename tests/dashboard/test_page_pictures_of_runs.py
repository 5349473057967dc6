"""What the page makes of a run: in bounded memory, whatever comes, in any order."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgestream.dashboard.events import events
from edgestream.dashboard.file_reading import sites_of
from edgestream.dashboard.history import MISSING, ROWS, NoveltyTrack, Waterfall
from edgestream.dashboard.mailbox import Board, Mailbox
from edgestream.dashboard.picture import Picture, window
from edgestream.dashboard.places import Places
from edgestream.dashboard.watches import MOST_WATCHES, Watches
from stream.following import Arrived
from stream.result_file.header import RunHeader
from stream.result_file.reader import RunFile
from stream.result_file.rows import Rows
from stream.result_file.run_folder import RunFolder
from stream.settings import Settings
from xas.errors import Reject, Retry

ENERGY = np.linspace(7100.0, 7150.0, 6)
HEADER = RunHeader(
    run="long", element="Fe", edge="K", energy=ENERGY, time_units="fs", start_time=1.7e9,
    keep_structures=False,
)  # fmt: skip


def spectra(index: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n, 6): every number follows from the frame."""
    return (1.0 + index[:, None] / 1e4 + np.arange(6)).astype(np.float32)


def rows(first: int, n: int, peak: int | None = None) -> Rows:
    index = np.arange(first, first + n)
    novelty = np.full(n, 0.25, dtype=np.float32)
    if peak is not None:
        novelty[peak - first] = 3.5
    values = spectra(index)
    return Rows(
        first_index=first, frame_time=index * 2.0, status=np.ones(n, np.uint8), intensity=values,
        errors=values / 10, edge_step=np.ones(n, np.float32), novelty=novelty,
        model_index=np.zeros(n, np.int16), t_pushed=index * 1.0, t_predicted=index + 0.5,
        site_frame=index, site_atom=np.zeros(n, np.int32), site_intensity=values,
        site_errors=values / 10,
    )  # fmt: skip


@pytest.fixture
def long_run(tmp_path: Path) -> RunFolder:
    """9,000 frames; frame 7,777 lies far outside."""
    folder = RunFolder.recover(tmp_path, "long", epoch=1, header=HEADER, grace_s=0.0)
    folder.add_model("fe-k", "1", "ab" * 32)
    folder.append(rows(0, 4000))
    folder.append(rows(4000, 5000, peak=7777))
    folder.refresh(force=True)
    return folder


def arrived(first: int, n: int) -> Arrived:
    index = np.arange(first, first + n)
    return Arrived(
        run="long", first=first, n_frames=n, model="ab" * 32, t_predicted=2.0,
        t_pushed=np.full(n, 1.5), status=np.ones(n, np.uint8), energy=ENERGY, frame_index=index,
        atom_index=np.zeros(n, np.int32), intensity=spectra(index), errors=spectra(index) / 10,
        novelty=np.full(n, 0.25, np.float32),
    )  # fmt: skip


def image(waterfall: dict[str, object]) -> NDArray[np.float64]:
    packed = np.frombuffer(base64.b64decode(str(waterfall["image"])), "<u2").astype(float)
    low, high = float(str(waterfall["low"])), float(str(waterfall["high"]))
    packed[packed == MISSING] = np.nan
    return (low + packed / (MISSING - 1) * (high - low)).reshape(-1, 6)


def test_a_peak_of_novelty_is_never_lost() -> None:
    track = NoveltyTrack()
    rng = np.random.default_rng(1)
    novelty = rng.random(1_000_000).astype(np.float32)
    novelty[123_456] = 7.0
    for first in rng.permutation(np.arange(0, 1_000_000, 50_000)):
        part = np.arange(first, first + 50_000)
        track.put(part, novelty[part])
    shown = track.plain()
    assert len(shown["largest"]) <= 1024
    assert shown["largest"][123_456 // shown["width"]] == 7.0
    bins = np.array_split(novelty, range(shown["width"], 1_000_000, shown["width"]))
    assert np.allclose(shown["largest"], [part.max() for part in bins])


def test_a_waterfall_holds_evenly_spaced_frames_whatever_the_order() -> None:
    forwards, backwards = Waterfall(6), Waterfall(6)
    for first in range(0, 3000, 100):
        index = np.arange(first, first + 100)
        forwards.reach(first + 100)
        forwards.put(index, spectra(index), spectra(index))
    backwards.reach(3000)
    for first in range(2900, -1, -100):
        index = np.arange(first, first + 100)
        backwards.put(index, spectra(index), spectra(index))
    assert forwards.step == backwards.step == 16
    assert forwards.plain() == backwards.plain()
    assert len(forwards.missing(3000)) == 0


def test_what_the_tail_lost_the_file_brings(long_run: RunFolder) -> None:
    picture = Picture()
    picture.take(arrived(0, 10))
    picture.take(arrived(8000, 1000))
    with RunFile(long_run.path) as file:
        picture.read(file)
    shown = picture.history()
    assert shown is not None
    frames = np.arange(0, 9000, shown["waterfall"]["step"])
    assert np.allclose(image(shown["waterfall"]), spectra(frames), rtol=1e-4)
    assert max(shown["novelty"]["largest"]) == 3.5
    assert shown["time"] == {"zero": 0.0, "step": 2.0, "unit": "fs"}


def test_the_average_is_that_of_the_file_once_there_is_one(long_run: RunFolder) -> None:
    picture = Picture()
    picture.take(arrived(0, 10))
    before = picture.average()
    assert before is not None
    assert (before["of"], before["n"]) == ("arrived", 10)
    with RunFile(long_run.path) as file:
        picture.read(file)
        after = picture.average()
        assert after is not None
        assert (after["of"], after["n"]) == ("file", 9000)
        assert (after["intensity"] == file.average.intensity).all()


def test_a_long_file_is_read_in_few_rows(
    long_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgestream.dashboard import picture as room

    read: list[int] = []
    rows_at = room.rows_at
    monkeypatch.setattr(
        room, "rows_at", lambda file, name, at: read.append(len(at)) or rows_at(file, name, at)
    )
    picture = Picture()
    with RunFile(long_run.path) as file:
        picture.read(file)
        assert sum(read) <= 2 * ROWS + 2
        read.clear()
        picture.read(file)
        assert sum(read) == 0


def test_a_window_is_finer_than_the_whole(long_run: RunFolder) -> None:
    with RunFile(long_run.path) as file:
        part = window(file, 7700, 7900)
        assert part["waterfall"]["step"] == 1
        assert np.allclose(image(part["waterfall"]), spectra(np.arange(7700, 7900)), rtol=1e-4)
        assert part["novelty"]["largest"][77] == 3.5
        outside = window(file, -50, 10**9)
        assert outside["waterfall"]["end"] == 9000


def test_the_sites_of_a_frame_are_found_without_reading_all(long_run: RunFolder) -> None:
    with RunFile(long_run.path) as file:
        found = sites_of(file, 4321)
        assert np.array_equal(found["intensity"], spectra(np.array([4321])))
        with pytest.raises(Reject, match="there are 9000"):
            sites_of(file, 9000)


def test_a_viewer_that_falls_behind_gets_the_latest() -> None:
    async def fall_behind() -> list[dict[str, bytes]]:
        board, mailbox = Board(), Mailbox()
        board.post("average", b"before it came")
        with board.delivering_to(mailbox):
            first = await mailbox.take(1.0)
            for i in range(1000):
                board.post("newest", b"%d" % i)
            board.post("average", b"later")
            return [first, await mailbox.take(1.0)]

    first, then = asyncio.run(fall_behind())
    assert first == {"average": b"before it came"}
    assert then == {"newest": b"999", "average": b"later"}


def test_so_many_runs_are_looked_at_and_no_more(tmp_path: Path) -> None:
    places = Places(url="redis://127.0.0.1:1", out=tmp_path, models=None, settings=Settings())
    watches = Watches(places)
    for i in range(MOST_WATCHES):
        watches.run(f"run-{i}")
    with pytest.raises(Retry, match="looked at already"):
        watches.run("one-more")
    assert watches.run("run-1") is watches.run("run-1")
    watches.close()


def test_all_viewers_of_a_run_share_one_watch_and_their_streams_end_with_it(
    tmp_path: Path,
) -> None:
    places = Places(url="redis://127.0.0.1:1", out=tmp_path, models=None, settings=Settings())
    watches = Watches(places)

    async def look() -> bool:
        streams = [events([watches.run("md")]) for _ in range(5)]
        for stream in streams:
            await anext(stream)
        watch = watches.run("md")
        all_on_one = watch.board.viewers == 5
        await asyncio.to_thread(watches.close)
        for stream in streams:
            async for _ in stream:
                pass
        return all_on_one

    assert asyncio.run(look())
