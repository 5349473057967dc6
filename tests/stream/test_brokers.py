"""Every promise of ``stream.broker``, kept by every broker."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import msgspec
import pytest
from rigs import QUICK, ROOM, SPEC, Rig

from stream.broker import Completion, UnpublishedModel, WorkerState
from stream.codec import pack
from stream.messages import RunSpec
from stream.shadows import ShadowCount
from xas.errors import Backpressure, Fenced, RunForgotten, RunRefused

# -- producers ------------------------------------------------------------------------------------


def test_a_new_run_begins_at_frame_0(rig: Rig) -> None:
    opened = rig.open_run()
    assert (opened.next_index, opened.watermark, opened.created) == (0, 0, True)
    state = rig.broker.run("md")
    assert (state.spec, state.run_id, state.sealed, state.finished) == (SPEC, "me", None, False)
    assert [s.run for s in rig.broker.runs()] == ["md"]


def test_a_run_that_nobody_opened_is_unknown(rig: Rig) -> None:
    assert rig.broker.run("md") is None
    with pytest.raises(RunForgotten, match="does not know run 'md'"):
        rig.push(replace(rig.open_run("other"), run="md"), 0)


def test_opening_a_run_again_fences_off_the_earlier_producer(rig: Rig) -> None:
    first = rig.open_run()
    second = rig.open_run()
    assert second.epoch > first.epoch
    assert not second.created
    for call in (
        lambda: rig.push(first, 0),
        lambda: rig.broker.drop(first, 1),
        lambda: rig.broker.seal(first, 0),
    ):
        with pytest.raises(Fenced, match="another producer"):
            call()
    assert rig.push(second, 0) == 1


def test_an_epoch_stays_above_those_of_a_server_that_forgot(rig: Rig) -> None:
    assert rig.open_run().epoch > 1_600_000_000_000


def test_a_bad_name_or_priority_is_refused(rig: Rig) -> None:
    with pytest.raises(RunRefused, match="cannot name a run"):
        rig.open_run(".hidden")
    with pytest.raises(RunRefused, match="priority 'first'"):
        rig.open_run(spec=RunSpec(model="tiny", priority="first"))
    assert rig.broker.runs() == []


def test_a_run_with_frames_is_not_opened_again_by_chance(rig: Rig) -> None:
    rig.push(rig.open_run(), 0)
    with pytest.raises(RunRefused, match="holds 1 frames already: resume it"):
        rig.open_run(run_id="somebody else")
    assert rig.open_run(run_id="me").next_index == 1
    assert rig.open_run(run_id="somebody else", resume=True).next_index == 1
    assert rig.broker.run("md").run_id == "me"
    assert rig.broker.run("md").resumed


def test_a_run_is_not_resumed_with_another_request(rig: Rig) -> None:
    rig.open_run()
    with pytest.raises(RunRefused, match=r"model 'tiny' \(now 'large'\)"):
        rig.open_run(spec=RunSpec(model="large"), resume=True)


def test_frames_are_accepted_in_order_and_once(rig: Rig) -> None:
    opened = rig.open_run()
    assert rig.push(opened, 0, 3) == 3
    assert rig.push(opened, 0, 3) == 3, "held already"
    assert rig.push(opened, 4, 1) == 3, "a gap"
    assert rig.push(opened, 2, 5) == 3, "an overlap has to be cut again"
    assert rig.push(opened, 3, 2) == 5
    assert [(e.first, e.n_frames) for e in rig.take()] == [(0, 3), (3, 2)]


def test_a_refused_block_leaves_nothing_behind(rig: Rig) -> None:
    opened = rig.open_run()
    rig.push(opened, 7, 1)
    assert rig.held() == (0, 0)
    assert rig.take() == []


def test_payloads_arrive_byte_by_byte(rig: Rig) -> None:
    payload = bytes(range(256))
    rig.push(rig.open_run(), 0, 2, payload)
    (entry,) = rig.take()
    assert (entry.run, entry.payload, entry.deliveries) == ("md", payload, 1)


def test_a_run_above_its_mark_is_full(rig: Rig) -> None:
    opened = rig.open_run()
    rig.push(opened, 0, 1, b"x" * 40)
    with pytest.raises(Backpressure, match=f"{40 * ROOM} bytes accepted and not yet on disk"):
        rig.push(opened, 1, 1, b"x" * 40)
    assert rig.push(opened, 1, 1, b"x" * 22) == 2
    assert rig.held() == (62 * ROOM, 62 * ROOM)


def learned(rig: Rig, n_results: int, growth: int, first: int = 0) -> int:
    """Results of ``growth`` bytes for one of frames, written; the next index."""
    opened, lease = rig.open_run(), rig.broker.acquire(0, "me", above=0)
    for i in range(first, first + n_results):
        rig.push(opened, i, 1, b"x" * 10)
        rig.complete(*rig.take(), result=b"r" * 10 * growth)
        rig.broker.commit(lease, "md", i + 1, rig.broker.results(lease, "0", block_s=0))
    assert rig.held() == (0, 0)
    return first + n_results


def filled(rig: Rig, first: int) -> int:
    """Push until the mark, have it all predicted with results of twice the size; its bytes."""
    opened = rig.open_run()
    with contextlib.suppress(Backpressure):
        for i in range(first, 10**6):
            rig.push(opened, i, 1, b"x" * 10)
    promised = rig.held()
    rig.complete(*rig.take(), result=b"r" * 20)
    held = rig.held()
    assert held[0] <= promised[0] <= QUICK.high_water_bytes, "a push takes room for its results"
    assert held == (held[0],) * 2
    return held[0]


def test_results_fit_the_room_that_was_taken_for_them(rig: Rig) -> None:
    first = learned(rig, 60, growth=2)
    assert filled(rig, first) > 0.9 * QUICK.high_water_bytes, "and no more than they need"


def test_results_fit_from_the_first_push_of_a_run(rig: Rig) -> None:
    assert filled(rig, 0) < 0.5 * QUICK.high_water_bytes, "nobody knows yet how many there will be"


def test_large_results_count_at_once_and_are_forgotten_slowly(rig: Rig) -> None:
    first = learned(rig, 60, growth=1)
    first = learned(rig, 1, growth=30, first=first)
    opened = rig.open_run()
    rig.push(opened, first, 1, b"x" * 10)
    assert rig.held()[0] == 10 * (1 + 30)
    rig.complete(*rig.take(), result=b"r" * 10)
    assert rig.held()[0] == 10 * (1 + 1)
    rig.push(opened, first + 1, 1, b"x" * 10)
    assert 10 * (1 + 26) < rig.held()[0] - 20 < 10 * (1 + 27)


def test_a_frame_without_results_teaches_nothing(rig: Rig) -> None:
    opened = rig.open_run()
    rig.push(opened, 0, 1, b"")
    rig.complete(*rig.take(), result=b"r" * 500)
    rig.push(opened, 1, 1, b"x")
    assert rig.held()[0] == 500 + ROOM


def test_a_block_above_the_mark_passes_alone(rig: Rig) -> None:
    opened = rig.open_run()
    assert rig.push(opened, 0, 1, b"x" * 5000) == 1
    with pytest.raises(Backpressure):
        rig.push(opened, 1, 1, b"x")


def test_a_full_run_slows_nobody_else(rig: Rig) -> None:
    rig.push(rig.open_run("full"), 0, 1, b"x" * (1000 // ROOM))
    assert rig.push(rig.open_run("free"), 0, 1, b"x" * (1000 // ROOM)) == 1


def test_a_full_priority_leaves_the_other_alone(rig: Rig) -> None:
    for i in range(4):
        rig.push(rig.open_run(f"r{i}"), 0, 1, b"x" * (1000 // ROOM))
    with pytest.raises(Backpressure):
        rig.push(rig.open_run("one more"[:3]), 0, 1, b"x" * 3)
    bulk = rig.open_run("bulk", spec=RunSpec(model="tiny", priority="bulk"))
    assert rig.push(bulk, 0, 1, b"x" * 1000) == 1


def test_a_sealed_run_takes_no_more_frames(rig: Rig) -> None:
    opened = rig.open_run()
    rig.push(opened, 0, 3)
    assert rig.broker.seal(opened, 0) == 3
    assert rig.broker.seal(opened, 0) == 3, "sealing twice is harmless"
    with pytest.raises(RunRefused, match="complete with 3 frames"):
        rig.push(opened, 3)
    for resume in (False, True):
        with pytest.raises(RunRefused, match="complete with 3 frames"):
            rig.open_run(resume=resume)


def test_a_run_whose_frames_were_lost_is_not_sealed(rig: Rig) -> None:
    opened = rig.open_run()
    rig.push(opened, 0, 3)
    assert rig.broker.seal(opened, 5) == 3
    assert rig.broker.run("md").sealed is None
    rig.push(opened, 3, 2)
    assert rig.broker.seal(opened, 5) == 5
    assert rig.broker.run("md").sealed == 5


def test_an_interrupted_run_is_resumed_where_it_stopped(rig: Rig) -> None:
    opened = rig.open_run()
    rig.push(opened, 0, 3)
    rig.broker.seal(opened, 0, interrupted=True)
    assert (rig.broker.run("md").sealed, rig.broker.run("md").interrupted) == (3, True)
    with pytest.raises(RunRefused):
        rig.open_run()
    again = rig.open_run(resume=True)
    assert again.next_index == 3
    assert (rig.broker.run("md").sealed, rig.broker.run("md").interrupted) == (None, False)
    assert rig.push(again, 3) == 4


def test_dropped_frames_are_counted_with_times(rig: Rig) -> None:
    opened = rig.open_run()
    rig.broker.drop(opened, 2)
    rig.wait(0.01)
    rig.broker.drop(opened, 3)
    state = rig.broker.run("md")
    assert (state.dropped, state.next_index) == (5, 0)
    assert 1e9 < state.dropped_first < state.dropped_last


# -- workers --------------------------------------------------------------------------------------


def test_live_frames_come_before_bulk(rig: Rig) -> None:
    bulk = rig.open_run("bulk", spec=RunSpec(model="tiny", priority="bulk"))
    live = rig.open_run("live")
    rig.push(bulk, 0)
    rig.push(live, 0)
    rig.push(bulk, 1)
    assert [e.run for e in rig.take()] == ["live", "bulk", "bulk"]


def test_a_worker_with_bulk_in_hand_is_given_live_frames_alone(rig: Rig) -> None:
    bulk = rig.open_run("bulk", spec=RunSpec(model="tiny", priority="bulk"))
    rig.push(bulk, 0)
    assert rig.broker.read_live("w1") == []
    live = rig.open_run("live")
    for i in range(3):
        rig.push(live, i)
    taken = []
    while more := rig.broker.read_live("w1"):
        taken += more
    assert [(e.first, e.priority) for e in taken] == [(i, "live") for i in range(3)]
    assert [e.priority for e in rig.take()] == ["bulk"]


def test_an_entry_goes_to_one_worker(rig: Rig) -> None:
    opened = rig.open_run()
    for i in range(5):
        rig.push(opened, i)
    assert len(rig.take("w1")) == 5
    assert rig.take("w2") == []
    (shard,) = rig.broker.shards()
    assert (shard.waiting["live"], shard.pending) == (5, 5)


def test_a_worker_finds_again_what_never_reached_it(rig: Rig) -> None:
    rig.push(rig.open_run(), 0)
    taken = rig.take("w1")
    assert rig.broker.pending("w1") == taken
    assert rig.broker.pending("w2") == []
    rig.complete(*taken)
    assert rig.broker.pending("w1") == []


def test_entries_of_a_silent_worker_are_claimed(rig: Rig) -> None:
    rig.push(rig.open_run(), 0)
    rig.take("w1")
    assert rig.broker.claim("w2") == []
    rig.wait(QUICK.claim_idle_s)
    (claimed,) = rig.broker.claim("w2")
    assert (claimed.first, claimed.payload) == (0, b"frame")
    assert claimed.deliveries > 1
    assert rig.broker.pending("w1") == []
    assert [e.id for e in rig.broker.pending("w2")] == [claimed.id]
    assert rig.broker.claim("w3") == []


def test_all_entries_of_a_silent_worker_are_claimed_in_the_end(rig: Rig) -> None:
    for name, spec in (("a", SPEC), ("b", RunSpec(model="tiny", priority="bulk"))):
        opened = rig.open_run(name, spec=spec)
        for i in range(60):
            rig.push(opened, i, 1, b"x")
    assert len(rig.take("w1")) == 120
    rig.wait(QUICK.claim_idle_s)
    claimed = set()
    while more := rig.broker.claim("w2"):
        claimed |= {(e.run, e.first) for e in more}
        rig.complete(*more, by="w2")
    assert len(claimed) == 120


def test_a_heartbeat_keeps_an_entry(rig: Rig) -> None:
    rig.change(claim_idle_s=0.6)
    rig.push(rig.open_run(), 0)
    taken = rig.take("w1")
    rig.wait(0.3)
    rig.broker.heartbeat("w1", taken)
    rig.wait(0.3)
    assert rig.broker.claim("w2") == []
    rig.wait(0.6)
    assert len(rig.broker.claim("w2")) == 1


def test_a_released_entry_is_claimed_at_once(rig: Rig) -> None:
    rig.change(claim_idle_s=600.0)
    rig.push(rig.open_run(), 0)
    rig.broker.release("w1", rig.take("w1"))
    (claimed,) = rig.broker.claim("w2")
    assert claimed.deliveries > 1


def test_a_heartbeat_and_a_release_of_a_finished_entry_are_nothing(rig: Rig) -> None:
    rig.push(rig.open_run(), 0)
    taken = rig.take("w1")
    rig.complete(*taken)
    rig.broker.heartbeat("w1", taken)
    rig.broker.release("w1", taken)
    assert rig.broker.claim("w2") == rig.broker.pending("w1") == []


def test_a_completion_turns_a_block_into_a_result(rig: Rig) -> None:
    rig.push(rig.open_run(), 0, 3)
    assert rig.complete(*rig.take()) == [True]
    (shard,) = rig.broker.shards()
    assert (shard.waiting["live"], shard.pending, shard.results) == (0, 0, 1)
    assert rig.held() == (len(b"frame" + b"spectra"),) * 2
    lease = rig.broker.acquire(0, "me", above=0)
    (result,) = rig.broker.results(lease, "0", block_s=0)
    assert (result.run, result.first, result.n_frames) == ("md", 0, 3)
    assert (result.payload, [*result.frames]) == (b"spectra", [b"frame"])
    assert result.held_bytes == len(b"frame" + b"spectra")


@pytest.mark.parametrize("zombie_first", [True, False])
def test_the_first_completion_wins(rig: Rig, zombie_first: bool) -> None:
    rig.push(rig.open_run(), 0)
    taken = rig.take("zombie")
    rig.wait(QUICK.claim_idle_s)
    claimed = rig.broker.claim("heir")
    answers = [("zombie", taken, b"z"), ("heir", claimed, b"h")]
    for name, entries, result in answers if zombie_first else answers[::-1]:
        counted = rig.complete(*entries, by=name, result=result, dead=[b"dead"], n_dead=1)
        assert counted == [(name == "zombie") == zombie_first]
    lease = rig.broker.acquire(0, "me", above=0)
    (result_entry,) = rig.broker.results(lease, "0", block_s=0)
    assert result_entry.payload == (b"z" if zombie_first else b"h")
    assert (rig.broker.run("md").dead, len(rig.broker.dead_letters(0))) == (1, 1)
    assert rig.held() == (len(b"frame") + 1 + len(pack([b"dead"])),) * 2


def test_dead_letters_are_counted_by_frame(rig: Rig) -> None:
    rig.push(rig.open_run(), 0, 5)
    rig.complete(*rig.take(), dead=[b"one letter", b"another"], n_dead=4)
    assert rig.broker.run("md").dead == 4
    assert rig.broker.dead_letters(0) == [b"one letter", b"another"]
    assert rig.held() == (len(b"framespectra" + pack([b"one letter", b"another"])),) * 2


def test_one_result_answers_several_entries(rig: Rig) -> None:
    opened = rig.open_run()
    for first, payload in ((0, b"a"), (2, b"bb"), (4, b"ccc")):
        rig.push(opened, first, 2, payload)
    done = Completion(entries=rig.take(), result=b"spectra", dead=[b"letter"], n_dead=1)
    assert rig.broker.complete("w1", [done]) == [True]
    assert rig.broker.complete("w1", [done]) == [False]
    lease = rig.broker.acquire(0, "me", above=0)
    (result,) = rig.broker.results(lease, "0", block_s=0)
    assert (result.first, result.n_frames, [*result.frames]) == (0, 6, [b"a", b"bb", b"ccc"])
    assert rig.held() == (result.held_bytes,) * 2 == (6 + 7 + len(pack([b"letter"])),) * 2
    rig.broker.commit(lease, "md", 6, [result])
    assert (rig.held(), rig.broker.run("md").watermark) == ((0, 0), 6)


def test_a_result_of_several_entries_counts_whole_or_not_at_all(rig: Rig) -> None:
    opened = rig.open_run()
    for i in range(3):
        rig.push(opened, i)
    taken = rig.take()
    rig.complete(taken[1])
    assert rig.broker.complete("w1", [Completion(entries=taken, result=b"all")]) == [False]
    assert rig.broker.pending("w1") == [taken[0], taken[2]]
    assert rig.broker.shards()[0].results == 1
    assert rig.complete(*taken) == [True, False, True]


def test_a_zombie_takes_no_entry_of_several_from_its_heir(rig: Rig) -> None:
    opened = rig.open_run()
    for i in range(2):
        rig.push(opened, i)
    taken = rig.take("zombie")
    rig.wait(QUICK.claim_idle_s)
    claimed = rig.broker.claim("heir")
    both = Completion(entries=taken, result=b"all")
    assert rig.broker.complete("zombie", [both]) == [False]
    assert [e.id for e in rig.broker.pending("heir")] == [e.id for e in claimed]
    assert rig.broker.complete("heir", [both]) == [True]


def test_whoever_follows_sees_results_until_they_are_committed(rig: Rig) -> None:
    broker, opened = rig.broker, rig.open_run()
    assert broker.follow(0, broker.results_end(0), block_s=0) == []
    rig.push(opened, 0)
    rig.complete(*rig.take(), result=b"before")
    start = broker.results_end(0)
    for i in (1, 2):
        rig.push(opened, i)
        rig.complete(*rig.take(), result=b"spectra %d" % i)
    for _ in range(2):
        seen = broker.follow(0, start, block_s=0)
        assert [(e.first, e.payload) for e in seen] == [(1, b"spectra 1"), (2, b"spectra 2")]
    lease = broker.acquire(0, "me", above=0)
    broker.commit(lease, "md", 2, broker.results(lease, "0", block_s=0)[:2])
    assert [e.first for e in broker.follow(0, start, block_s=0)] == [2]
    broker.commit(lease, "md", 3, broker.results(lease, "0", block_s=0))
    assert broker.follow(0, start, block_s=0) == []
    assert broker.results_end(0) == seen[-1].id


def test_a_result_of_an_unpublished_model_changes_nothing(rig: Rig) -> None:
    rig.push(rig.open_run(), 0)
    taken = rig.take()
    with pytest.raises(UnpublishedModel):
        rig.complete(*taken, model="ab" * 32)
    assert rig.broker.pending("w1") == taken
    rig.broker.publish_model("ab" * 32, b"record")
    assert rig.complete(*taken, model="ab" * 32) == [True]
    lease = rig.broker.acquire(0, "me", above=0)
    assert rig.broker.model(lease, "ab" * 32) == b"record"
    assert rig.broker.model(lease, "cd" * 32) is None


def test_a_buried_entry_leaves_only_a_dead_letter(rig: Rig) -> None:
    rig.push(rig.open_run(), 0)
    (entry,) = rig.take()
    for _ in range(2):
        rig.broker.bury("w1", entry, b"letter")
    assert rig.broker.dead_letters(0) == [b"letter"]
    assert rig.broker.pending("w1") == []
    assert rig.broker.shards()[0].waiting["live"] == 0


def test_a_consumer_that_leaves_loses_nothing(rig: Rig) -> None:
    rig.push(rig.open_run(), 0)
    rig.take("w1")
    rig.broker.leave("w1")
    rig.wait(QUICK.claim_idle_s)
    (claimed,) = rig.broker.claim("w2")
    rig.complete(claimed, by="w2")
    rig.broker.leave("w2")
    rig.broker.leave("never there")
    assert rig.broker.shards()[0].pending == 0


def word(name: str, seen_at: float) -> WorkerState:
    return WorkerState(
        name=name, host="h", pid=1, device="cpu", models=["tiny@1"], frames=1, sites=2, failures=3,
        busy_s=0.5, seen_at=seen_at,
    )  # fmt: skip


def test_a_sign_of_life_fades(rig: Rig) -> None:
    rig.change(worker_silence_s=1.0)
    state = word("w1", seen_at=0.0)
    opened_at = rig.open_run() and rig.broker.run("md").opened_at
    rig.broker.report(replace(state, seen_at=opened_at - 2.0))
    assert rig.broker.workers() == []
    rig.broker.report(replace(state, seen_at=opened_at))
    (found,) = rig.broker.workers()
    assert (found.name, list(found.models), found.failures) == ("w1", ["tiny@1"], 3)
    rig.broker.leave("w1")
    assert rig.broker.workers() == []


def test_a_worker_that_was_killed_is_forgotten_unless_it_holds_something(rig: Rig) -> None:
    rig.push(rig.open_run(), 0)
    rig.take("holds")
    rig.take("idle")
    for name in ("holds", "idle"):
        rig.broker.report(word(name, seen_at=1.0))
    rig.broker.forget_silent(1e12)
    rig.wait(0.1)
    rig.broker.forget_silent(0.05)
    assert rig.broker.workers() == []
    rig.wait(QUICK.claim_idle_s)
    assert len(rig.broker.claim("heir")) == 1


def test_a_run_goes_on_with_the_model_it_began_with(rig: Rig) -> None:
    for name in ("a", "b"):
        rig.broker.publish_model(name, name.encode())
    assert rig.broker.begin_run("md", "a") is None
    rig.open_run()
    assert [rig.broker.begin_run("md", name) for name in ("b", "a")] == [b"b", b"b"]


def test_counts_of_a_shadow_add_up_over_workers(rig: Rig) -> None:
    for worker in (1, 2):
        rig.broker.count_shadow(
            ShadowCount(
                run="md", served="m@1", shadow="m@2", frames=3, skipped=worker, sites=worker,
                max_percent=1.5 * worker, bins={"7": 1, str(worker): 1},
            )
        )  # fmt: skip
    rig.broker.count_shadow(ShadowCount(run="other", served="m@1", shadow="m@2", failed=1))
    first, second = rig.broker.shadows()
    assert (first.run, first.frames, first.skipped, first.sites) == ("md", 6, 3, 3)
    assert (first.max_percent, first.bins) == (3.0, {"7": 2, "1": 1, "2": 1})
    assert (second.run, second.failed, second.bins) == ("other", 1, {})


# -- writers --------------------------------------------------------------------------------------


def test_a_shard_has_one_writer(rig: Rig) -> None:
    rig.change(lease_s=60.0)
    lease = rig.broker.acquire(0, "one", above=0)
    with pytest.raises(Fenced, match="shard 0 is being written by one"):
        rig.broker.acquire(0, "two", above=0)
    rig.broker.renew(lease)
    assert rig.broker.shards()[0].writer_alive
    rig.broker.yield_lease(lease)
    assert not rig.broker.shards()[0].writer_alive
    assert rig.broker.acquire(0, "two", above=0).epoch > lease.epoch


def test_a_lease_that_ran_out_may_be_taken_and_fences_its_holder(rig: Rig) -> None:
    old = rig.broker.acquire(0, "one", above=0)
    rig.wait(QUICK.lease_s)
    new = rig.broker.acquire(0, "two", above=0)
    assert new.epoch > old.epoch
    opened = rig.open_run()
    rig.push(opened, 0)
    rig.complete(*rig.take())
    results = rig.broker.results(new, "0", block_s=0)
    adoption = {"n_frames": 0, "run_id": "me", "file": "f", "host": "h"}
    for call in (
        lambda: rig.broker.renew(old),
        lambda: rig.broker.commit(old, "md", 1, results),
        lambda: rig.broker.adopt(old, "md", **adoption),
        lambda: rig.broker.refuse(old, "md", "why"),
        lambda: rig.broker.finish(old, "md"),
    ):
        with pytest.raises(Fenced):
            call()
    assert rig.broker.run("md").watermark == 0
    assert rig.broker.results(new, "0", block_s=0) == results


def test_a_lease_that_ran_out_is_kept_where_nobody_took_it(rig: Rig) -> None:
    lease = rig.broker.acquire(0, "one", above=0)
    rig.wait(QUICK.lease_s)
    rig.broker.renew(lease)
    with pytest.raises(Fenced):
        rig.broker.acquire(0, "two", above=0)


def test_a_clock_that_was_set_back_keeps_nobody_out_for_longer_than_a_lease(rig: Rig) -> None:
    rig.broker.acquire(0, "one", above=0)
    rig.set_clock_back(3600.0)
    for _ in range(2):
        with pytest.raises(Fenced, match="being written by one"):
            rig.broker.acquire(0, "two", above=0)
    rig.wait(QUICK.lease_s)
    rig.broker.acquire(0, "two", above=0)


def test_a_lease_is_above_every_epoch_on_disk(rig: Rig) -> None:
    assert rig.broker.acquire(0, "one", above=41).epoch == 42
    assert rig.broker.acquire(0, "one", above=0).epoch == 43


def test_a_commit_releases_every_byte(rig: Rig) -> None:
    bulk = rig.open_run("bulk", spec=RunSpec(model="tiny", priority="bulk"))
    for opened in (rig.open_run(), bulk):
        for i in range(4):
            rig.push(opened, 2 * i, 2, b"frames" * (i + 1))
    for i, entry in enumerate(rig.take()):
        rig.complete(entry, result=b"r" * 10 * i, dead=[b"d"] * (i % 2), n_dead=i % 2)
    lease = rig.broker.acquire(0, "me", above=0)
    results = rig.broker.results(lease, "0", block_s=0)
    for run in ("md", "bulk"):
        own = [r for r in results if r.run == run]
        rig.broker.commit(lease, run, 4, own[:2])
        assert rig.held(run)[0] > 0
        rig.broker.commit(lease, run, 8, own[2:])
        assert (rig.held(run), rig.broker.run(run).watermark) == ((0, 0), 8)
    assert rig.broker.results(lease, "0", block_s=0) == []


def test_a_repeated_commit_is_harmless(rig: Rig) -> None:
    rig.push(rig.open_run(), 0, 5)
    rig.complete(*rig.take())
    lease = rig.broker.acquire(0, "me", above=0)
    results = rig.broker.results(lease, "0", block_s=0)
    for watermark in (5, 5, 3):
        rig.broker.commit(lease, "md", watermark, results)
    assert (rig.broker.run("md").watermark, rig.held()) == (5, (0, 0))


def test_a_commit_lets_a_full_run_go_on(rig: Rig) -> None:
    opened = rig.open_run()
    rig.push(opened, 0, 1, b"x" * 1000)
    rig.complete(*rig.take(), result=b"y" * 1000)
    with pytest.raises(Backpressure):
        rig.push(opened, 1)
    lease = rig.broker.acquire(0, "me", above=0)
    rig.broker.commit(lease, "md", 1, rig.broker.results(lease, "0", block_s=0))
    assert rig.push(opened, 1) == 2


def test_results_are_read_from_any_point(rig: Rig) -> None:
    opened = rig.open_run()
    for i in range(5):
        rig.push(opened, i)
    rig.complete(*rig.take())
    lease = rig.broker.acquire(0, "me", above=0)
    results = rig.broker.results(lease, "0", block_s=0)
    assert [r.first for r in results] == [0, 1, 2, 3, 4]
    assert rig.broker.results(lease, results[1].id, block_s=0) == results[2:]


def test_adopting_a_run_tells_what_is_on_disk(rig: Rig) -> None:
    opened = rig.open_run()
    lease = rig.broker.acquire(0, "me", above=0)
    rig.broker.adopt(lease, "md", n_frames=7, run_id="older", file="/data/md.h5", host="h")
    state = rig.broker.run("md")
    assert (state.next_index, state.watermark) == (7, 7)
    assert (state.run_id, state.file, state.host) == ("older", "/data/md.h5", "h")
    assert rig.push(opened, 0) == 7
    rig.broker.adopt(lease, "md", n_frames=3, run_id="older", file="/data/md.h5", host="h")
    assert rig.broker.run("md").next_index == 7


def test_a_refused_run_says_why_until_it_is_opened_again(rig: Rig) -> None:
    opened = rig.open_run()
    lease = rig.broker.acquire(0, "me", above=0)
    rig.broker.refuse(lease, "md", "another run lies there")
    for call in (lambda: rig.push(opened, 0), lambda: rig.broker.seal(opened, 0)):
        with pytest.raises(RunRefused, match="another run lies there"):
            call()
    assert rig.push(rig.open_run(), 0) == 1


def test_a_finished_run_is_open_no_more(rig: Rig) -> None:
    opened = rig.open_run()
    lease = rig.broker.acquire(0, "me", above=0)
    assert [s.run for s in rig.broker.open_runs(lease)] == ["md"]
    rig.broker.seal(opened, 0, interrupted=True)
    rig.broker.finish(lease, "md")
    assert rig.broker.open_runs(lease) == []
    assert rig.broker.run("md").finished
    rig.open_run(resume=True)
    assert [s.finished for s in rig.broker.open_runs(lease)] == [False]


def test_a_run_that_is_resumed_in_the_last_moment_is_not_finished(rig: Rig) -> None:
    opened = rig.open_run()
    lease = rig.broker.acquire(0, "me", above=0)
    rig.broker.seal(opened, 0, interrupted=True)
    rig.open_run(resume=True)
    rig.broker.finish(lease, "md")  # the writer has not seen yet that somebody goes on
    assert [s.run for s in rig.broker.open_runs(lease)] == ["md"]
    assert not rig.broker.run("md").finished


def test_runs_of_several_shards_do_not_meet(rig: Rig) -> None:
    broker = rig.change(shards=2) if hasattr(rig.broker, "check_version") else None
    if broker is None:
        broker = rig.broker = type(rig.broker)(replace(QUICK, shards=2))
        rig.settings = broker.settings
    for name in ("a", "b"):
        rig.push(rig.open_run(name), 0, 1, name.encode())
    rig.complete(*rig.take())
    for shard, run in ((0, "b"), (1, "a")):
        lease = broker.acquire(shard, "me", above=0)
        (result,) = broker.results(lease, "0", block_s=0)
        assert result.run == run
        broker.commit(lease, run, 1, [result])
        assert rig.held(run) == (0, 0)


def test_several_completions_are_judged_one_by_one(rig: Rig) -> None:
    opened = rig.open_run()
    for i in range(3):
        rig.push(opened, i)
    a, b, c = rig.take()
    rig.complete(b)
    done = [Completion(entries=[e], result=b"again") for e in (a, b, c)]
    assert rig.broker.complete("w1", done) == [True, False, True]


def test_a_spec_survives_the_broker(rig: Rig) -> None:
    spec = RunSpec(
        model="fe-k@2", absorber="Fe", priority="bulk", time_units="fs", title="Ä", sample="s",
        keep_structures=False,
    )  # fmt: skip
    rig.open_run(spec=spec)
    assert msgspec.structs.asdict(rig.broker.run("md").spec) == msgspec.structs.asdict(spec)
