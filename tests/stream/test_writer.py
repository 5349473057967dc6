from __future__ import annotations

import copy
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clocks import Clock
from rigs import SPEC
from stage import MODEL, assert_rows, open_and_push, publish, push, result_of, spectra, work

from stream.memory_broker import MemoryBroker
from stream.messages import RunSpec
from stream.result_file import RunFile
from stream.settings import Settings
from stream.writer import Writer
from xas.errors import (
    BadModel,
    Fenced,
    RunForgotten,
    RunRefused,
    ServerUnreachable,
    StorageFailed,
)

SETTINGS = Settings(commit_interval_s=0.0, segment_grace_s=0.0, lease_s=10.0)


@pytest.fixture
def broker(clock: Clock) -> MemoryBroker:
    broker = MemoryBroker(SETTINGS, clock)
    publish(broker)
    return broker


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def writer_of(broker: MemoryBroker, out: Path, **options: Any) -> Writer:
    return Writer(broker, out, settings=broker.settings, clock=broker._clock, **options)


def run_writer(broker: MemoryBroker, out: Path, steps: int = 3) -> Writer:
    """A new writer; the one before is dead, and its lease has run out."""
    broker._clock.now += 11.0  # type: ignore[attr-defined]
    writer = writer_of(broker, out)
    step(writer, broker, steps)
    return writer


def step(writer: Writer, broker: MemoryBroker, steps: int = 3) -> None:
    for _ in range(steps):
        broker._clock.now += 1.0  # type: ignore[attr-defined]
        writer.step(0)


def assert_nothing_held(broker: MemoryBroker, run: str = "md") -> None:
    (shard,) = broker.shards()
    assert (broker.run(run).held_bytes, shard.results) == (0, 0)
    assert set(shard.held_bytes.values()) == {0}


def test_a_sealed_run_becomes_a_finished_file(broker: MemoryBroker, out: Path) -> None:
    opened = open_and_push(broker, [3, 1, 4])
    work(broker, dead=[5])
    broker.seal(opened, 0)
    writer = run_writer(broker, out)
    assert_rows(out / "md.h5", 8, dead=[5])
    state = broker.run("md")
    assert (state.watermark, state.finished, state.dead) == (8, True, 1)
    assert state.file == str((out / "md.h5").resolve())
    with RunFile(out / "md.h5") as file:
        assert file.finished
        assert file.sealed
    assert_nothing_held(broker)
    assert writer.idle


def test_results_are_written_in_order_whenever_they_come(broker: MemoryBroker, out: Path) -> None:
    opened = open_and_push(broker, [2, 2, 2, 2])
    a, b, c, d = broker.read("w", block_s=0)
    broker.complete("w", [result_of(e) for e in (d, b)])
    writer = run_writer(broker, out)
    assert broker.run("md").watermark == 0
    broker.complete("w", [result_of(a)])
    step(writer, broker)
    assert broker.run("md").watermark == 4
    broker.complete("w", [result_of(c)])
    broker.seal(opened, 0)
    step(writer, broker)
    assert_rows(out / "md.h5", 8)
    assert_nothing_held(broker)


def test_a_growing_file_opens_at_every_step(broker: MemoryBroker, out: Path) -> None:
    opened = open_and_push(broker, [1])
    writer = run_writer(broker, out, steps=1)
    for n in range(1, 12):
        work(broker)
        step(writer, broker, 1)
        assert_rows(out / "md.h5", n)
        assert broker.run("md").watermark == n
        push(broker, opened, n, 1)


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_writer_that_dies_is_replaced_by_another(
    broker: MemoryBroker, out: Path, steps: int
) -> None:
    opened = open_and_push(broker, [2, 2])
    work(broker)
    run_writer(broker, out, steps)
    push(broker, opened, 4, 3)
    work(broker)
    run_writer(broker, out, steps)
    broker.seal(opened, 0)
    run_writer(broker, out)
    assert_rows(out / "md.h5", 7)
    assert broker.run("md").finished
    assert_nothing_held(broker)


def test_a_file_is_finished_also_by_a_writer_that_wrote_no_row_of_it(
    broker: MemoryBroker, out: Path
) -> None:
    opened = open_and_push(broker, [2, 2])
    work(broker)
    run_writer(broker, out)
    broker.seal(opened, 0)
    run_writer(broker, out)
    with RunFile(out / "md.h5") as file:
        assert file.finished
        assert file.sealed
    assert_rows(out / "md.h5", 4)


def test_a_writer_that_dies_between_file_and_word_is_followed_by_one_that_says_it(
    broker: MemoryBroker, out: Path
) -> None:
    opened = open_and_push(broker, [2])
    work(broker)
    broker.seal(opened, 0)
    writer = writer_of(broker, out)
    finish, broker.finish = broker.finish, away  # type: ignore[method-assign]
    for _ in range(3):  # the server stays away
        with pytest.raises(ServerUnreachable):
            step(writer, broker, 1)
    broker.finish = finish  # type: ignore[method-assign]
    run_writer(broker, out)
    assert_rows(out / "md.h5", 2)
    assert broker.run("md").finished


def away(*args: object, **kwargs: object) -> Any:
    raise ServerUnreachable("no answer")


def test_rows_are_acknowledged_only_when_they_are_on_disk(
    broker: MemoryBroker, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_and_push(broker, [2, 2])
    work(broker)
    writer = writer_of(broker, out)

    def refuse(*args: object) -> None:
        raise StorageFailed("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("stream.run_writer.RunFolder.append", refuse)
        with pytest.raises(StorageFailed):
            step(writer, broker, 1)
    assert (broker.run("md").watermark, broker.shards()[0].results) == (0, 2)
    step(writer, broker)
    assert (broker.run("md").watermark, broker.shards()[0].results) == (4, 0)


def test_an_acknowledgement_that_did_not_arrive_is_repeated(
    broker: MemoryBroker, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_and_push(broker, [2, 2])
    work(broker)
    writer = writer_of(broker, out)
    with monkeypatch.context() as patch:
        patch.setattr(broker, "commit", away)
        with pytest.raises(ServerUnreachable):
            step(writer, broker, 1)
    assert broker.run("md").watermark == 0
    broker.seal(opened, 0)
    step(writer, broker)
    assert_rows(out / "md.h5", 4)
    assert_nothing_held(broker)


@pytest.mark.parametrize("finished", [False, True])
def test_what_a_restarted_server_shows_again_is_acknowledged_again(
    broker: MemoryBroker, out: Path, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    opened = open_and_push(broker, [2, 2])
    work(broker)
    (shard,) = broker._shards
    before = dict(shard.results), shard.runs["md"], dict(shard.held)
    writer = run_writer(broker, out)
    if finished:
        broker.seal(opened, 4)
        step(writer, broker)
    assert_nothing_held(broker)
    # the last second of its append-only file is gone, and with it the acknowledgement
    shard.results, shard.held = before[0], before[2]
    lost = replace(before[1], file=shard.runs["md"].file, sealed=4 if finished else None)
    shard.runs["md"] = lost
    with monkeypatch.context() as patch:
        patch.setattr(broker, "results", away)
        with pytest.raises(ServerUnreachable):
            step(writer, broker, 1)
    step(writer, broker)
    assert_nothing_held(broker)
    assert (broker.run("md").watermark, broker.run("md").finished) == (4, finished)
    assert_rows(out / "md.h5", 4)


def test_results_whose_model_the_server_forgot_come_again(
    broker: MemoryBroker, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_and_push(broker, [2, 2])
    work(broker)
    broker.seal(opened, 4)
    writer = writer_of(broker, out)
    with monkeypatch.context() as patch:
        patch.setattr(broker, "model", lambda *_: None)  # it came back empty a moment ago
        with pytest.raises(RunForgotten, match="forgot the model"):
            step(writer, broker, 1)
    step(writer, broker)
    assert_rows(out / "md.h5", 4)
    assert_nothing_held(broker)


def test_a_clock_that_is_set_back_stops_no_writer(broker: MemoryBroker, out: Path) -> None:
    opened = open_and_push(broker, [2])
    clock = Clock()
    writer = Writer(broker, out, settings=replace(SETTINGS, commit_interval_s=0.2), clock=clock)
    writer.step(0)
    clock.now -= 3600.0
    work(broker)
    broker.seal(opened, 2)
    writer.step(0)
    assert broker.run("md").finished


def test_frames_that_were_cut_again_are_written_once(broker: MemoryBroker, out: Path) -> None:
    opened = open_and_push(broker, [2, 3])
    work(broker)
    run_writer(broker, out)
    # a server that forgot: what is on disk is pushed again, and cut in another way
    empty = MemoryBroker(SETTINGS, broker._clock)
    publish(empty)
    opened = open_and_push(empty, [1, 3, 4])
    work(empty)
    empty.seal(opened, 0)
    run_writer(empty, out)
    assert_rows(out / "md.h5", 8)
    assert_nothing_held(empty)


def test_what_comes_again_after_the_end_is_let_go(broker: MemoryBroker, out: Path) -> None:
    opened = open_and_push(broker, [2, 3])
    work(broker)
    run_writer(broker, out)
    empty = MemoryBroker(SETTINGS, broker._clock)
    publish(empty)
    opened = open_and_push(empty, [2, 3])
    empty.seal(opened, 0)
    writer = run_writer(empty, out)
    assert empty.run("md").finished, "all of it is on disk"
    work(empty)
    step(writer, empty)
    assert_nothing_held(empty)
    assert_rows(out / "md.h5", 5)


@pytest.mark.parametrize("in_flight", [0, 2])
def test_a_server_that_came_back_behind_the_file_is_told_how_far_that_is(
    broker: MemoryBroker, out: Path, in_flight: int
) -> None:
    """Nothing may be in flight then that would tell it, and a spool has nothing from before."""
    opened = open_and_push(broker, [3, 2])
    work(broker)
    writer = run_writer(broker, out)
    if in_flight:
        push(broker, opened, 5, in_flight)
    before = copy.deepcopy(broker._shards)
    push(broker, opened, 5 + in_flight, 4)
    work(broker)
    step(writer, broker)
    broker._shards = before
    step(writer, broker)
    state = broker.run("md")
    assert (state.next_index, state.watermark) == (9 + in_flight,) * 2
    push(broker, opened, 9 + in_flight, 3)
    work(broker)
    broker.seal(opened, 0)
    step(writer, broker)
    assert_rows(out / "md.h5", 12 + in_flight)
    assert_nothing_held(broker)


def test_results_in_hand_of_a_server_that_came_back_older_are_no_rows_of_others(
    broker: MemoryBroker, out: Path
) -> None:
    opened = open_and_push(broker, [3])
    work(broker)
    writer = run_writer(broker, out)
    before = copy.deepcopy(broker._shards)
    push(broker, opened, 3, 2)
    (late,) = broker.read("slow", block_s=0)
    push(broker, opened, 5, 4)
    work(broker)
    step(writer, broker)  # which has frames 5 to 8 in hand, and lacks 3 and 4
    broker._shards = before
    assert broker.complete("slow", [result_of(late)]) == [False]
    step(writer, broker)
    for n in (1, 3, 4):
        push(broker, opened, broker.run("md").next_index, n)
    work(broker)
    broker.seal(opened, 0)
    step(writer, broker)
    n = broker.run("md").sealed
    assert broker.run("md").finished
    assert_rows(out / "md.h5", n)
    assert_nothing_held(broker)


def test_a_folder_that_holds_another_run_of_that_name_is_not_touched(
    broker: MemoryBroker, out: Path
) -> None:
    opened = open_and_push(broker, [2])
    work(broker)
    broker.seal(opened, 0)
    run_writer(broker, out)
    before = (out / "md.h5").read_bytes()
    other = MemoryBroker(SETTINGS, broker._clock)
    publish(other)
    opened = open_and_push(other, [3], run_id="somebody else")
    work(other)
    run_writer(other, out)
    with pytest.raises(RunRefused, match=r"md\.h5 .* take another name"):
        push(other, opened, 3, 1)
    assert (out / "md.h5").read_bytes() == before
    resumed = other.open_run("md", SPEC, run_id="third", resume=True)
    run_writer(other, out)
    with pytest.raises(RunRefused, match=r"md\.h5 is complete with 2 frames"):
        push(other, resumed, 3, 1)


def test_a_refused_run_does_not_hold_up_the_others(broker: MemoryBroker, out: Path) -> None:
    out.mkdir()
    (out / "bad.h5").write_text("my shopping list")
    bad = open_and_push(broker, [2], "bad")
    good = open_and_push(broker, [2], "md")
    work(broker)
    broker.seal(good, 0)
    writer = run_writer(broker, out)
    assert_rows(out / "md.h5", 2)
    with pytest.raises(RunRefused, match="is not a result file of edgestream"):
        push(broker, bad, 2, 1)
    (out / "bad.h5").unlink()
    again = broker.open_run("bad", SPEC, run_id="me", resume=False)
    broker.seal(again, 0)
    step(writer, broker)
    assert_rows(out / "bad.h5", 2)
    assert_nothing_held(broker, "bad")


def test_rows_of_live_runs_are_on_disk_before_those_of_bulk(
    broker: MemoryBroker, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk = RunSpec(model="tiny", priority="bulk")
    open_and_push(broker, [2], "a-backfill", spec=bulk)
    open_and_push(broker, [2], "live")
    work(broker)
    work(broker)
    order: list[str] = []
    kept = MemoryBroker.commit

    def commit(self: MemoryBroker, lease: Any, run: str, *args: Any) -> None:
        order.append(run)
        kept(self, lease, run, *args)

    monkeypatch.setattr(MemoryBroker, "commit", commit)
    run_writer(broker, out)
    assert order == ["live", "a-backfill"]


def test_results_that_do_not_fit_their_file_stop_only_their_run(
    broker: MemoryBroker, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = open_and_push(broker, [2], "bad"), open_and_push(broker, [2], "md")
    work(broker)
    broker.seal(good, 0)

    def rows_of(results: Any, *args: object, **kwargs: Any) -> Any:
        if results[0][0].run == "bad":
            raise BadModel("nonsense")
        return kept(results, *args, **kwargs)

    from stream.result_rows import rows_of as kept

    monkeypatch.setattr("stream.run_writer.rows_of", rows_of)
    run_writer(broker, out)
    assert_rows(out / "md.h5", 2)
    with pytest.raises(RunRefused, match="nonsense"):
        push(broker, bad, 2, 1)


def test_a_folder_without_the_rows_below_the_watermark_is_refused(
    broker: MemoryBroker, out: Path, tmp_path: Path
) -> None:
    open_and_push(broker, [2, 2])
    work(broker)
    run_writer(broker, out)
    run_writer(broker, tmp_path / "another folder")
    assert "holds 0 frames of run 'md', but 4 were written before" in broker.run("md").refusal
    assert not list((tmp_path / "another folder").iterdir())


def test_an_interrupted_run_goes_on_in_the_same_file(broker: MemoryBroker, out: Path) -> None:
    opened = open_and_push(broker, [2, 2])
    work(broker)
    broker.seal(opened, 0, interrupted=True)
    writer = run_writer(broker, out)
    with RunFile(out / "md.h5") as file:
        assert file.interrupted
        assert not file.sealed
    again = broker.open_run("md", SPEC, run_id="me again", resume=True)
    step(writer, broker)
    assert push(broker, again, 4, 3) == 7
    work(broker)
    broker.seal(again, 0)
    step(writer, broker)
    assert_rows(out / "md.h5", 7)
    with RunFile(out / "md.h5") as file:
        assert file.sealed
        assert not file.interrupted
    assert_nothing_held(broker)


def test_an_interrupted_run_goes_on_with_another_server(broker: MemoryBroker, out: Path) -> None:
    opened = open_and_push(broker, [2, 2])
    work(broker)
    broker.seal(opened, 0, interrupted=True)
    run_writer(broker, out)
    empty = MemoryBroker(SETTINGS, broker._clock)
    publish(empty)
    again = empty.open_run("md", SPEC, run_id="me again", resume=True)
    writer = run_writer(empty, out)
    assert empty.run("md").next_index == 4
    push(empty, again, 4, 3)
    work(empty)
    empty.seal(again, 0)
    step(writer, empty)
    assert_rows(out / "md.h5", 7)


def test_an_interrupted_run_may_be_sealed_without_another_frame(
    broker: MemoryBroker, out: Path
) -> None:
    opened = open_and_push(broker, [2])
    work(broker)
    broker.seal(opened, 0, interrupted=True)
    writer = run_writer(broker, out)
    broker.seal(broker.open_run("md", SPEC, run_id="me again", resume=True), 0)
    step(writer, broker)
    assert broker.run("md").finished
    with RunFile(out / "md.h5") as file:
        assert file.sealed
        assert not file.interrupted
    assert_rows(out / "md.h5", 2)


def test_a_run_that_is_resumed_while_its_file_is_finished_goes_on(
    broker: MemoryBroker, out: Path
) -> None:
    opened = open_and_push(broker, [2])
    work(broker)
    broker.seal(opened, 0, interrupted=True)
    finish, resumed = broker.finish, []

    def late(*args: Any) -> bool:
        broker.finish = finish  # type: ignore[method-assign]
        resumed.append(broker.open_run("md", SPEC, run_id="me again", resume=True))
        return finish(*args)

    broker.finish = late  # type: ignore[method-assign]
    writer = run_writer(broker, out)
    assert not broker.run("md").finished
    push(broker, resumed[0], 2, 3)
    work(broker)
    broker.seal(resumed[0], 0)
    step(writer, broker)
    assert_rows(out / "md.h5", 5)
    assert_nothing_held(broker)


def test_a_run_without_frames_is_finished_without_a_file(broker: MemoryBroker, out: Path) -> None:
    broker.seal(open_and_push(broker, []), 0)
    run_writer(broker, out)
    assert broker.run("md").finished
    assert not (out / "md.h5").exists()


@pytest.mark.parametrize("n", [3, 5000])
def test_a_run_of_dead_letters_only_has_a_file_of_tombstones(
    broker: MemoryBroker, out: Path, n: int
) -> None:
    opened = open_and_push(broker, [2, n - 2])
    work(broker, model="")
    broker.seal(opened, 0)
    run_writer(broker, out)
    assert broker.run("md").finished
    with RunFile(out / "md.h5") as file:
        assert (file.status == 2).all()
        assert len(file) == n
    assert_nothing_held(broker)


def test_dead_letters_wait_for_the_first_model(broker: MemoryBroker, out: Path) -> None:
    opened = open_and_push(broker, [2, 2])
    first, second = broker.read("w", block_s=0)
    broker.complete("w", [result_of(first, model="")])
    writer = run_writer(broker, out)
    broker.complete("w", [result_of(second)])
    broker.seal(opened, 0)
    step(writer, broker)
    assert_rows(out / "md.h5", 4, dead=[0, 1])


def test_a_model_on_another_grid_is_brought_onto_the_runs(broker: MemoryBroker, out: Path) -> None:
    publish(broker, "cd" * 32, shift=5.0)
    opened = open_and_push(broker, [1, 1])
    first, second = broker.read("w", block_s=0)
    broker.complete("w", [result_of(first), result_of(second, model="cd" * 32)])
    broker.seal(opened, 0)
    run_writer(broker, out)
    with RunFile(out / "md.h5") as file:
        assert file.model_index.tolist() == [0, 1]
        np.testing.assert_allclose(file.intensity[1][1:], spectra(1, 1)[0][:-1], rtol=1e-5)
        assert np.isnan(file.intensity[1][0])


def test_structures_are_left_out_on_request(broker: MemoryBroker, out: Path) -> None:
    spec = RunSpec(model="tiny", keep_structures=False)
    opened = open_and_push(broker, [2], spec=spec)
    work(broker)
    broker.seal(opened, 0)
    run_writer(broker, out)
    with RunFile(out / "md.h5") as file:
        assert not file.header.keep_structures


def test_a_folder_that_cannot_be_made_is_named(broker: MemoryBroker, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailed, match=r"cannot write .*file/out"):
        writer_of(broker, tmp_path / "file" / "out")


def test_a_second_writer_stays_away_while_the_first_lives(broker: MemoryBroker, out: Path) -> None:
    first = writer_of(broker, out)
    for _ in range(30):
        step(first, broker, 1)
        with pytest.raises(Fenced, match="is being written by"):
            writer_of(broker, out)


def test_a_writer_that_was_replaced_stops_and_writes_nothing(
    broker: MemoryBroker, out: Path
) -> None:
    open_and_push(broker, [2])
    work(broker)
    old = writer_of(broker, out)
    run_writer(broker, out)
    opened = broker.open_run("md", SPEC, run_id="me", resume=False)
    push(broker, opened, 2, 2)
    work(broker)
    with pytest.raises(Fenced):
        step(old, broker)
    assert broker.run("md").watermark == 2
    assert_rows(out / "md.h5", 2)


def test_segments_that_vanish_are_noticed_before_anything_is_acknowledged(
    broker: MemoryBroker, out: Path
) -> None:
    opened = open_and_push(broker, [2])
    work(broker)
    writer = run_writer(broker, out)
    shutil.rmtree(out / "md.segments")
    push(broker, opened, 2, 2)
    work(broker)
    with pytest.raises(StorageFailed):
        step(writer, broker)
    assert broker.run("md").watermark == 2


def test_many_runs_are_written_side_by_side(broker: MemoryBroker, out: Path) -> None:
    names = [f"run-{i}" for i in range(5)]
    opened = [open_and_push(broker, [i + 1, 2], name) for i, name in enumerate(names)]
    work(broker, model=MODEL)
    for one in opened:
        broker.seal(one, 0)
    run_writer(broker, out)
    for i, name in enumerate(names):
        assert_rows(out / f"{name}.h5", i + 3)
    assert_nothing_held(broker, names[0])


def test_a_slow_commit_interval_gathers_rows(broker: MemoryBroker, out: Path) -> None:
    broker.settings = replace(SETTINGS, commit_interval_s=100.0)
    open_and_push(broker, [2])
    writer = run_writer(broker, out, steps=1)
    work(broker)
    step(writer, broker, 5)
    assert broker.run("md").watermark == 0
    writer.drain()
    assert broker.run("md").watermark == 2
    assert_rows(out / "md.h5", 2)


def test_segments_of_a_writer_that_died_within_its_grace_are_removed_later(out: Path) -> None:
    clock = Clock(time.time())
    broker = MemoryBroker(replace(SETTINGS, segment_grace_s=60.0), clock)
    publish(broker)
    opened = open_and_push(broker, [3])
    work(broker)
    broker.seal(opened, 3)
    run_writer(broker, out)
    assert (out / "md.segments").exists()
    clock.now += 120.0
    run_writer(broker, out)
    assert not (out / "md.segments").exists()
    assert_rows(out / "md.h5", 3)
