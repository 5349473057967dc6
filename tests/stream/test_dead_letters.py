"""Dead letters lie on disk, leave the server, and come back as rows of the finished file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bundles import ENERGY
from clocks import Clock
from graves import answer_of, indices, requeue, unreadable, work
from rigs import Rig
from stage import assert_rows, open_and_push, publish, push, spectra
from test_writer import SETTINGS, assert_nothing_held, run_writer, step

from stream.codec import Array, decode, encode
from stream.dead_letters import STRANGERS_BYTES, RunLetters, keep_strangers
from stream.memory_broker import MemoryBroker
from stream.messages import DeadLetter, ModelRecord
from stream.record_file import append, record_at, records
from stream.result_file import RunFile
from stream.result_file.verify import verify
from stream.writer import Writer
from xas.errors import Backpressure, Fenced, ServerUnreachable


@pytest.fixture
def broker(clock: Clock) -> MemoryBroker:
    broker = MemoryBroker(SETTINGS, clock)
    publish(broker)
    return broker


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Where files are written; whatever is done to them, every one verifies in the end."""
    yield tmp_path / "out"
    for path in (tmp_path / "out").glob("*.h5"):
        verdict = verify(path)
        assert verdict.faults == []
        assert verdict.checked_frames == verdict.frames


def finished(broker: MemoryBroker, out: Path, dead: list[int], **options: str) -> Writer:
    """A finished run of 8 frames, some of them dead, and its writer."""
    opened = open_and_push(broker, [3, 5])
    work(broker, dead, **options)
    broker.seal(opened, 8)
    writer = run_writer(broker, out)
    assert broker.run("md").finished
    return writer


# -- the file -------------------------------------------------------------------------------------


def test_records_that_were_cut_short_are_skipped(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole", tmp_path / "cut"
    append(whole, [b"first ESR1 frame", b"second"])
    data = whole.read_bytes()
    for end in range(len(data)):
        path.write_bytes(data[:end])
        append(path, [b"third"])
        found = [record for _, record in records(path)]
        assert found[-1] == b"third"
        assert found[:-1] == [b"first ESR1 frame"] * (end >= 28)


def test_a_record_with_a_flipped_bit_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "records"
    append(path, [b"one", b"two", b"three"])
    data = bytearray(path.read_bytes())
    data[data.index(b"two")] ^= 1
    path.write_bytes(data)
    assert [record_at(path, at) for at, _ in records(path)] == [b"one", b"three"]


# -- out of the server ----------------------------------------------------------------------------


def test_dead_letters_leave_the_server_with_their_rows(broker: MemoryBroker, out: Path) -> None:
    finished(broker, out, [1, 5])
    assert broker.dead_letters(0) == []
    assert_nothing_held(broker)
    kept = RunLetters(out, "md").letters()
    assert [(k.index, k.attempts, k.letter.error) for k in kept] == [
        (1, 1, "UnknownModel"),
        (5, 1, "UnknownModel"),
    ]
    assert_rows(out / "md.h5", 8, dead=[1, 5])
    notices = [decode(raw, DeadLetter) for raw in broker.notices(0)]
    assert [(n.first, len(n.original)) for n in notices] == [(5, 0), (1, 0)]


def test_dead_letters_count_against_the_high_water_mark(rig: Rig) -> None:
    opened = rig.open_run()
    rig.push(opened, 0)
    rig.complete(*rig.take(), dead=[b"d" * 2000], n_dead=1)
    with pytest.raises(Backpressure):
        rig.push(opened, 1)
    lease = rig.broker.acquire(0, "me", above=0)
    (entry,) = rig.broker.results(lease, "0", block_s=0)
    assert [*entry.letters] == [b"d" * 2000]
    rig.broker.commit(lease, "md", 1, [entry])
    assert (rig.held(), rig.broker.dead_letters(0)) == ((0, 0), [])
    assert rig.push(opened, 1) == 2


def test_a_letter_that_a_killed_writer_kept_twice_is_one(broker: MemoryBroker, out: Path) -> None:
    opened = open_and_push(broker, [3])
    work(broker, [1])
    broker.seal(opened, 3)

    class DiesBeforeCommit(MemoryBroker):
        def commit(self, *args: object) -> None:
            raise ServerUnreachable("killed")

    broker.__class__ = DiesBeforeCommit
    with pytest.raises(ServerUnreachable):
        run_writer(broker, out)
    broker.__class__ = MemoryBroker
    run_writer(broker, out)
    assert len(list(records(out / "md.dead"))) == 2
    assert [(k.index, k.attempts) for k in RunLetters(out, "md").letters()] == [(1, 1)]


def test_strangers_are_bounded_in_the_server_and_on_disk(rig: Rig, tmp_path: Path) -> None:
    opened = rig.open_run()
    rig.change(high_water_bytes=2**30)
    for i in range(20):
        rig.push(opened, i)
    for i, entry in enumerate(rig.take()):
        rig.broker.bury("w1", entry, bytes([i]) * 2**20)
    letters = rig.broker.dead_letters(0)
    assert [letter[0] for letter in letters] == [*range(4, 20)]
    lease = rig.broker.acquire(0, "me", above=0)
    rig.broker.unbury(lease, [entry_id for entry_id, _ in rig.broker.buried(lease)])
    assert (rig.broker.dead_letters(0), rig.broker.shards()[0].buried) == ([], 0)
    for _ in range(4):
        keep_strangers(tmp_path, 0, letters)
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert size <= 4 * STRANGERS_BYTES


def test_letters_of_an_earlier_run_of_that_name_are_put_aside(
    broker: MemoryBroker, out: Path
) -> None:
    finished(broker, out, [1])
    (out / "md.h5").rename(out / "archived.h5")
    later = MemoryBroker(SETTINGS, broker._clock)
    publish(later)
    finished(later, out, [2])
    assert indices(out) == [2]
    assert len(list(out.glob("md.dead.*"))) == 1


# -- back, and into the file ----------------------------------------------------------------------


def test_a_requeued_frame_lands_in_the_finished_file(broker: MemoryBroker, out: Path) -> None:
    writer = finished(broker, out, [0, 4, 7])
    with RunFile(out / "md.h5") as file:
        before = file.average.intensity
        assert requeue(broker, out, index=[4]) == 1
        work(broker)
        step(writer, broker)
        assert file.status[4] == 2  # who has it open sees what was there
    assert_rows(out / "md.h5", 8, dead=[0, 7])
    assert_nothing_held(broker)
    with RunFile(out / "md.h5") as file:
        np.testing.assert_array_equal(file.sites.frame, np.arange(1, 7))
        np.testing.assert_array_equal(file.sites.intensity[:], spectra(1, 6))
        np.testing.assert_allclose(file.average.intensity, spectra(1, 6).mean(axis=0), rtol=1e-6)
        assert file.average.n == 6
        assert file.sealed
        assert file.models[0].first_frame == 1
        assert not np.allclose(before, file.average.intensity, rtol=1e-6)
    assert (broker.run("md").dead, indices(out)) == (2, [0, 7])


def test_all_of_them_land_at_once(broker: MemoryBroker, out: Path) -> None:
    writer = finished(broker, out, [0, 3, 4, 7])
    requeue(broker, out)
    work(broker)
    step(writer, broker)
    assert_rows(out / "md.h5", 8)
    assert (broker.run("md").dead, indices(out)) == (0, [])


def test_a_run_of_nothing_but_dead_letters_gets_its_energies(
    broker: MemoryBroker, out: Path
) -> None:
    writer = finished(broker, out, [], model="")
    with RunFile(out / "md.h5") as file:
        assert (len(file.energy), file.header.element) == (0, "")
    requeue(broker, out, index=[2, 6])
    work(broker)
    step(writer, broker)
    assert_rows(out / "md.h5", 8, dead=[0, 1, 3, 4, 5, 7])
    with RunFile(out / "md.h5") as file:
        assert (file.header.element, file.header.edge, file.average.n) == ("Fe", "K", 2)


def test_frames_that_nobody_could_read_bring_their_atoms(broker: MemoryBroker, out: Path) -> None:
    opened = open_and_push(broker, [3, 2, 3])
    entries = broker.read("w", block_s=0)
    answers = [answer_of(e, []) for e in entries]
    answers[1] = unreadable(entries[1])
    broker.complete("w", answers)
    broker.seal(opened, 8)
    writer = run_writer(broker, out)
    (kept,) = RunLetters(out, "md").letters()
    assert (kept.index, kept.letter.n_frames) == (3, 2)
    requeue(broker, out)
    work(broker)
    step(writer, broker)
    assert_rows(out / "md.h5", 8)


def test_requeued_twice_or_answered_late_it_has_one_row(broker: MemoryBroker, out: Path) -> None:
    writer = finished(broker, out, [4])
    requeue(broker, out)
    requeue(broker, out)
    late, soon = broker.read("w", block_s=0)
    assert broker.complete("w", [answer_of(soon, [])]) == [True]
    step(writer, broker)
    assert_rows(out / "md.h5", 8)
    inode = (out / "md.h5").stat().st_ino
    assert broker.complete("w", [answer_of(late, [4], at=9.0)]) == [True]  # a failure, late
    assert broker.complete("w", [answer_of(soon, [])]) == [False]
    step(writer, broker)
    assert_rows(out / "md.h5", 8)
    assert ((out / "md.h5").stat().st_ino, indices(out)) == (inode, [])
    assert_nothing_held(broker)


def test_a_frame_that_fails_again_is_a_dead_letter_again(broker: MemoryBroker, out: Path) -> None:
    writer = finished(broker, out, [4])
    for at in (2.0, 3.0):
        requeue(broker, out)
        work(broker, [4], at=at)
        step(writer, broker)
    (kept,) = RunLetters(out, "md").letters()
    assert (kept.index, kept.attempts, kept.letter.t_failed) == (4, 3, 3.0)
    assert_rows(out / "md.h5", 8, dead=[4])
    assert broker.run("md").dead == 1


def test_a_dropped_letter_keeps_its_tombstone_and_count(broker: MemoryBroker, out: Path) -> None:
    finished(broker, out, [1, 4])
    letters = RunLetters(out, "md")
    letters.drop([k for k in letters.letters() if k.index == 4], now=1.0)
    assert indices(out) == [1]
    assert_rows(out / "md.h5", 8, dead=[1, 4])
    assert broker.run("md").dead == 2


def test_in_a_growing_run_the_row_comes_when_it_is_finished(
    broker: MemoryBroker, out: Path
) -> None:
    opened = open_and_push(broker, [3, 5])
    work(broker, [1])
    writer = run_writer(broker, out)
    requeue(broker, out)
    work(broker)
    step(writer, broker)
    assert indices(out) == []
    assert_nothing_held(broker)
    writer = run_writer(broker, out)  # the one before is dead
    broker.seal(opened, 8)
    step(writer, broker)
    assert_rows(out / "md.h5", 8)
    assert broker.run("md").dead == 0


def test_an_interrupted_run_that_goes_on_keeps_what_was_mended(
    broker: MemoryBroker, out: Path
) -> None:
    opened = open_and_push(broker, [3, 5])
    work(broker, [1])
    broker.seal(opened, 8, interrupted=True)
    writer = run_writer(broker, out)
    requeue(broker, out)
    work(broker)
    step(writer, broker)
    assert_rows(out / "md.h5", 8)
    again = broker.open_run("md", broker.run("md").spec, run_id="you", resume=True)
    step(writer, broker)
    push(broker, again, 8, 2)
    work(broker)
    broker.seal(again, 10)
    step(writer, broker)
    assert_rows(out / "md.h5", 10)


def test_a_model_of_another_edge_does_not_answer(broker: MemoryBroker, out: Path) -> None:
    other = "cd" * 32
    record = ModelRecord(
        name="co-k", version=1, sha256=other, element="Co", edge="K", descriptor="{}",
        provider="CPU", energy=Array.of(ENERGY),
    )  # fmt: skip
    broker.publish_model(other, encode(record))
    writer = finished(broker, out, [4])
    requeue(broker, out)
    work(broker, model=other)
    step(writer, broker)
    assert_rows(out / "md.h5", 8, dead=[4])
    assert indices(out) == [4]


def test_a_fenced_writer_amends_nothing(broker: MemoryBroker, out: Path) -> None:
    writer = finished(broker, out, [4])
    requeue(broker, out)
    work(broker)
    writer._gather()
    heir = run_writer(broker, out, steps=0)
    with pytest.raises(Fenced):
        writer.commit()
    assert_rows(out / "md.h5", 8, dead=[4])
    step(heir, broker)
    assert_rows(out / "md.h5", 8)


def test_the_server_may_have_forgotten_the_run(broker: MemoryBroker, out: Path) -> None:
    finished(broker, out, [4])
    later = MemoryBroker(SETTINGS, broker._clock)
    publish(later)
    later._shards[0].epoch = 10
    requeue(later, out)
    work(later)
    run_writer(later, out)
    assert_rows(out / "md.h5", 8)
    assert later.runs() == []
    assert set(later.shards()[0].held_bytes.values()) == {0}


def test_a_server_that_is_full_of_bulk_takes_no_more(rig: Rig) -> None:
    rig.broker.requeue("md", 0, 1, b"f" * 3000)
    with pytest.raises(Backpressure):
        rig.broker.requeue("md", 1, 1, b"f" * 2000)
    (entry,) = rig.take()
    assert (entry.run, entry.again, entry.payload) == ("md", True, b"f" * 3000)
    assert rig.complete(entry) == [True]
    lease = rig.broker.acquire(0, "me", above=0)
    (result,) = rig.broker.results(lease, "0", block_s=0)
    assert result.again
    assert rig.broker.run("md") is None
    rig.broker.settle(lease, [result])
    rig.broker.settle(lease, [result])
    assert set(rig.broker.shards()[0].held_bytes.values()) == {0}
    assert rig.broker.results(lease, "0", block_s=0) == []


def test_what_was_killed_between_answer_and_file_is_done_by_the_next(
    broker: MemoryBroker, out: Path
) -> None:
    finished(broker, out, [4])
    before = (out / "md.h5").read_bytes()
    requeue(broker, out)
    work(broker)
    run_writer(broker, out)
    shutil.copyfile(out / "md.h5", out / "amended")
    (out / "md.h5").write_bytes(before)  # as if it had died before the rename
    run_writer(broker, out)
    assert_rows(out / "md.h5", 8)
