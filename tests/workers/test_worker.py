from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from bundles import iron_oxides
from clocks import Clock
from desk import Cursed, Desk, moved, with_element

from stream.broker import Completion, Entry
from stream.codec import Array, decode, encode
from stream.memory_broker import MemoryBroker
from stream.messages import FrameBlock, ModelRecord
from stream.settings import Settings
from workers.answer import Answer
from workers.batcher import Job, batches
from workers.predictor import Predictor
from workers.worker import FEW_FRAMES
from xas.errors import BadModel, ServerUnreachable, WorkerUnfit
from xas.structure import Sites, StructureBatch

SETTINGS = Settings(claim_idle_s=30.0, batch_atoms=40)


@pytest.fixture
def desk(predictor: Predictor, other_predictor: Predictor, clock: Clock) -> Iterator[Desk]:
    predictors = {"tiny": predictor, "other": other_predictor}
    desk = Desk(MemoryBroker(SETTINGS, clock), predictors, clock)
    yield desk
    desk.close()


def test_frames_become_the_spectra_of_the_model(desk: Desk, predictor: Predictor) -> None:
    frames = iron_oxides(9)
    desk.push(frames[:4])
    desk.push(frames[4:])
    assert desk.worker().step(0) == 2
    assert desk.status() == [1] * 9
    np.testing.assert_allclose(
        desk.intensity(), predictor.predict(frames).intensity, atol=1e-6, rtol=0
    )
    (result,) = desk.results()
    assert (result.model, result.ours) == (predictor.identity, True)
    assert result.t_pushed.view("<f8", -1).tolist() == [0.0] * 9
    lease = desk.broker.acquire(0, "me", above=0)
    (entry,) = desk.broker.results(lease, "0", block_s=0)
    assert entry.frames[0] == encode(first_block(frames))
    assert desk.broker.shards()[0].pending == 0


@pytest.mark.parametrize(
    ("n_frames", "n_pauses"), [(1, 0), (2, 1), (FEW_FRAMES - 1, 1), (FEW_FRAMES, 0)]
)
def test_a_few_frames_at_once_let_the_next_gather_and_a_single_one_or_many_do_not(
    desk: Desk, n_frames: int, n_pauses: int
) -> None:
    worker = desk.worker()
    desk.push(iron_oxides(n_frames))
    worker.step(0)
    assert desk.pauses == []
    desk.push(iron_oxides(1))
    worker.step(0)
    assert len(desk.pauses) == n_pauses
    worker.step(0)
    assert len(desk.pauses) == n_pauses
    assert desk.status() == [1] * (n_frames + 1)


def first_block(frames: StructureBatch) -> FrameBlock:
    return FrameBlock.of(frames[:4], run="run-tiny", first=0, model="tiny", t_pushed=0.0)


def test_the_writer_learns_the_model_with_its_first_result(
    desk: Desk, predictor: Predictor
) -> None:
    desk.push(iron_oxides(1))
    desk.worker().step(0)
    packed = desk.broker.model(desk.broker.acquire(0, "me", above=0), predictor.identity)
    assert packed is not None
    record = decode(packed, ModelRecord)
    assert (record.name, record.version, record.element, record.edge) == ("tiny", 1, "Fe", "K")
    np.testing.assert_array_equal(record.energy.view("<f8", -1), predictor.energy)


def test_a_batch_takes_what_there_is_up_to_its_atoms(desk: Desk) -> None:
    for i in range(40):
        desk.push(iron_oxides(1, first=i))
    jobs = [Job.of(entry) for entry in desk.broker.read("w", block_s=0)]
    found = batches(jobs, 40)
    assert [job for batch in found for job in batch.jobs] == jobs
    atoms = [sum(job.n_atoms for job in batch.jobs) for batch in found]
    assert max(atoms) <= 40
    assert min(atoms[:-1]) > 40 - 5, "filled as far as a frame fits"


def test_a_read_brings_about_a_batch(desk: Desk, predictor: Predictor) -> None:
    cursed = desk.predictors["tiny"] = Cursed(predictor)
    desk.broker.settings = replace(SETTINGS, batch_atoms=100)
    for i in range(40):
        desk.push(iron_oxides(10, first=i))
    desk.work()
    assert desk.status() == [1] * 400
    assert max(cursed.calls) <= 40


def test_live_frames_of_one_run_are_answered_together(desk: Desk) -> None:
    for i in range(12):
        desk.push(iron_oxides(1, first=i), "other" if i == 5 else "tiny")
    desk.broker.settings = replace(SETTINGS, batch_atoms=10_000)
    desk.worker().step(0)
    assert [(r.first, r.n_frames) for r in desk.results("tiny")] == [(0, 11)]
    assert desk.status("other") == [1]


def test_entries_that_others_have_too_are_answered_one_by_one(desk: Desk) -> None:
    for i in range(4):
        desk.push(iron_oxides(1, first=i))
    desk.broker.settings = replace(SETTINGS, batch_atoms=10_000)
    complete = desk.broker.complete

    def robbed(consumer: str, completions: list[Completion]) -> list[bool]:
        """Another worker has the second entry by now, and answers it."""
        desk.broker.complete = complete  # type: ignore[method-assign]
        entry = completions[0].entries[1]
        result = Answer.unreadable(entry, BadModel("robbed")).completion("thief", 0.0)
        assert complete("thief", [result]) == [True]
        return complete(consumer, completions)

    desk.broker.complete = robbed  # type: ignore[assignment, method-assign]
    desk.worker().step(0)
    assert desk.status() == [1, 2, 1, 1]


def test_a_rotten_block_spoils_no_other(desk: Desk) -> None:
    frames = iron_oxides(6)
    desk.push(frames[:3])
    rotten = msgspec.structs.replace(
        FrameBlock.of(frames[3:5], run="run-tiny", first=3, model="tiny", t_pushed=0.0),
        numbers=Array.of(np.zeros(5, dtype=np.uint8)),
    )
    desk.push_bytes(encode(rotten), 2)
    desk.push(frames[5:])
    desk.broker.settings = replace(SETTINGS, batch_atoms=10_000)
    desk.worker().step(0)
    assert desk.status() == [1, 1, 1, 2, 2, 1]


def test_a_block_above_the_bound_is_a_batch_of_its_own(desk: Desk) -> None:
    desk.push(iron_oxides(30))
    desk.worker().step(0)
    assert desk.status() == [1] * 30


def test_models_and_absorbers_are_not_mixed(desk: Desk, predictor: Predictor) -> None:
    frames = iron_oxides(6)
    desk.push(frames[:2], "tiny")
    desk.push(frames[2:4], "other")
    desk.push(frames[4:], "tiny", sites=Sites(np.array([0, 1]), np.array([0, 0])))
    desk.work()
    assert desk.status("tiny") == [1] * 4
    assert desk.status("other") == [1] * 2
    assert {r.model for r in desk.results("tiny")} == {predictor.identity}


@pytest.mark.parametrize("guilty", [0, 5, 12, 19])
def test_only_the_guilty_frame_of_a_batch_pays(
    desk: Desk, predictor: Predictor, guilty: int
) -> None:
    cursed = desk.predictors["tiny"] = Cursed(predictor)
    frames = with_element(iron_oxides(20), guilty, 118)
    for part in (slice(0, 1), slice(1, 8), slice(8, 9), slice(9, 20)):
        desk.push(frames[part])
    desk.broker.settings = replace(SETTINGS, batch_atoms=10_000)
    desk.worker().step(0)
    assert desk.status() == [2 if i == guilty else 1 for i in range(20)]
    innocent = np.setdiff1d(np.arange(20), [guilty])
    np.testing.assert_allclose(
        desk.intensity(), predictor.predict(frames.take(innocent)).intensity, atol=1e-6
    )
    (letter,) = desk.dead()
    assert (letter.first, letter.n_frames, letter.attempts) == (guilty, 1, 2)
    assert (letter.error, letter.reason) == ("FloatingPointError", "a cursed element")
    original = decode(letter.original, FrameBlock)
    np.testing.assert_array_equal(
        original.structures().numbers, frames[guilty : guilty + 1].numbers
    )
    assert len(cursed.calls) < 2 * 20


def test_several_guilty_frames_are_all_found(desk: Desk, predictor: Predictor) -> None:
    desk.predictors["tiny"] = Cursed(predictor)
    frames = iron_oxides(16)
    for guilty in (0, 1, 7, 15):
        frames = with_element(frames, guilty, 118)
    desk.push(frames)
    desk.worker().step(0)
    assert [i for i, s in enumerate(desk.status()) if s == 2] == [0, 1, 7, 15]
    assert desk.broker.run("run-tiny").dead == 4


def test_a_frame_that_fails_once_is_not_guilty(desk: Desk, predictor: Predictor) -> None:
    class Hiccup(Cursed):
        def predict(self, batch: StructureBatch, *args: object) -> object:
            self.calls.append(len(batch))
            if len(self.calls) == 1:
                raise MemoryError
            return Predictor.predict(self, batch, *args)  # type: ignore[arg-type]

    desk.predictors["tiny"] = Hiccup(predictor)
    desk.push(iron_oxides(1))
    desk.worker().step(0)
    assert (desk.status(), desk.dead()) == ([1], [])


BAD = {
    "not finite": lambda f: moved(f, 1, 2, np.nan),
    "not finite (infinite)": lambda f: moved(f, 1, 0, np.inf),
    "more than 65536 angstrom": lambda f: moved(f, 1, 2, 1e9),
    "two atoms lie": lambda f: moved(f, 1, 1, 0.0),
    "no other atom within": lambda f: moved(f, 1, 0, 40.0),
    "no Fe atom": lambda f: with_other_absorber(f, 1),
    "it has no atoms": lambda f: emptied(f, 1),
}


def with_other_absorber(frames: StructureBatch, frame: int) -> StructureBatch:
    numbers = frames.numbers.copy()
    numbers[frames.offsets[frame]] = 27
    return replace(frames, numbers=numbers)


def emptied(frames: StructureBatch, frame: int) -> StructureBatch:
    nothing = StructureBatch.from_arrays([], np.zeros((0, 3)))
    return StructureBatch.concatenate([frames[:frame], nothing, frames[frame + 1 :]])


@pytest.mark.parametrize("reason", BAD)
def test_a_structure_without_a_spectrum_is_a_dead_letter_among_good_ones(
    desk: Desk, predictor: Predictor, reason: str
) -> None:
    cursed = desk.predictors["tiny"] = Cursed(predictor)
    good = iron_oxides(3)
    desk.push(BAD[reason](good))
    desk.worker().step(0)
    assert desk.status() == [1, 2, 1]
    (letter,) = desk.dead()
    assert reason.split(" (")[0] in letter.reason
    assert (letter.error, letter.model) == ("BadStructure", predictor.identity)
    assert len(cursed.calls) == 1, "nothing has to be halved"
    expected = predictor.predict(good.take(np.array([0, 2]))).intensity
    np.testing.assert_allclose(desk.intensity(), expected, atol=1e-6)


def test_an_absorber_that_is_another_element_is_named(desk: Desk) -> None:
    desk.push(iron_oxides(2), sites=Sites(np.array([0, 1]), np.array([1, 0])))
    desk.push(iron_oxides(1), absorber="Cu")
    desk.worker().step(0)
    assert desk.status() == [2, 1, 2]
    reasons = [letter.reason for letter in desk.dead()]
    assert any("atom 1 is O; tiny predicts Fe K-edges" in r for r in reasons)
    assert any("absorber Cu was asked for" in r for r in reasons)


def test_bytes_that_nobody_can_read_are_one_dead_letter(desk: Desk) -> None:
    desk.push(iron_oxides(2))
    desk.push_bytes(b"not ours at all", 3)
    desk.push(iron_oxides(1))
    desk.worker().step(0)
    assert desk.status() == [1, 1, 2, 2, 2, 1]
    (letter,) = desk.dead()
    assert (letter.first, letter.n_frames, letter.error) == (2, 3, "BadMessage")
    assert bytes(letter.original) == b"not ours at all"
    assert desk.broker.run("run-tiny").dead == 3


def test_a_message_of_a_newer_protocol_is_a_dead_letter(desk: Desk) -> None:
    desk.push_bytes(msgspec.msgpack.encode(["edgestream", 99, "FrameBlock", {"n": 1}]))
    desk.worker().step(0)
    (letter,) = desk.dead()
    assert letter.error == "NewerProtocol"
    assert "update edgestream" in letter.reason


def test_frames_of_an_unknown_model_are_dead_letters(desk: Desk) -> None:
    desk.push(iron_oxides(3), "tinny")
    desk.push(iron_oxides(2), "tiny")
    desk.worker().step(0)
    assert (desk.status("tinny"), desk.status("tiny")) == ([2] * 3, [1] * 2)
    assert {letter.error for letter in desk.dead()} == {"UnknownModel"}


def test_an_entry_that_nobody_pushed_is_buried(desk: Desk) -> None:
    desk.push(iron_oxides(1))
    stream = desk.broker._shards[0].frames["live"]
    stream.entries[99] = Entry(
        stream="0:live", id="99", run="", first=0, n_frames=0, payload=b"from elsewhere"
    )
    desk.worker().step(0)
    assert desk.status() == [1]
    (letter,) = desk.dead()
    assert (letter.run, bytes(letter.original)) == ("", b"from elsewhere")


class Unfit(Cursed):
    """Fails at everything, its check input included."""

    def predict(self, *args: object) -> object:  # type: ignore[override]
        raise RuntimeError("the library is broken")

    def check(self) -> None:
        raise WorkerUnfit("model tiny@1: the check input fails")


def test_an_unfit_worker_blames_nobody_and_gives_back_its_entries(
    desk: Desk, predictor: Predictor
) -> None:
    frames = iron_oxides(6)
    desk.push(frames[:2])
    desk.push(frames[2:])
    desk.predictors["tiny"] = Unfit(predictor)
    worker = desk.worker("unfit")
    with pytest.raises(WorkerUnfit, match="the check input fails"):
        worker.step(0)
    assert (desk.results(), desk.dead()) == ([], [])
    (said,) = desk.broker.workers()
    assert "the check input fails" in said.problem
    claimed = desk.broker.claim("another")
    assert sorted(e.first for e in claimed) == [0, 2]


def test_a_damaged_model_is_the_workers_fault(desk: Desk) -> None:
    desk.push(iron_oxides(2))

    def load(reference: str) -> Predictor:
        raise BadModel("model.onnx: does not match its SHA-256")

    desk.load = load  # type: ignore[method-assign]
    with pytest.raises(WorkerUnfit, match="does not match its SHA-256"):
        desk.worker().step(0)
    assert len(desk.broker.claim("another")) == 1


def test_a_reply_that_was_lost_is_asked_for_again(desk: Desk) -> None:
    desk.push(iron_oxides(2))
    read, complete = desk.broker.read, desk.broker.complete

    def lost_read(consumer: str, **how: float) -> list[Entry]:
        read(consumer, **how)
        desk.broker.read = read  # type: ignore[method-assign]
        raise ServerUnreachable("gone")

    def lost_complete(consumer: str, completions: list[Completion]) -> list[bool]:
        complete(consumer, completions)
        desk.broker.complete = complete  # type: ignore[method-assign]
        raise ServerUnreachable("gone")

    worker = desk.worker()
    desk.broker.read = lost_read  # type: ignore[assignment, method-assign]
    with pytest.raises(ServerUnreachable):
        worker.step(0)
    assert worker.step(0) == 1
    desk.push(iron_oxides(1))
    desk.broker.complete = lost_complete  # type: ignore[assignment, method-assign]
    with pytest.raises(ServerUnreachable):
        worker.step(0)
    assert worker.step(0) == 0
    assert desk.status() == [1, 1, 1]


def test_a_failing_batch_sends_signs_of_life(
    desk: Desk, predictor: Predictor, clock: Clock
) -> None:
    class Slow(Cursed):
        def predict(self, *args: object) -> object:
            clock.now += 20.0
            return Cursed.predict(self, *args)  # type: ignore[arg-type]

    desk.predictors["tiny"] = Slow(predictor)
    frames = with_element(iron_oxides(8), 3, 118)
    desk.push(frames)
    desk.push(iron_oxides(1))
    stolen = []
    heartbeat = desk.broker.heartbeat

    def watched(consumer: str, entries: list[Entry]) -> None:
        stolen.extend(desk.broker.claim("thief"))
        heartbeat(consumer, entries)

    desk.broker.heartbeat = watched  # type: ignore[assignment, method-assign]
    desk.work()
    assert stolen == []
    assert desk.status() == [1, 1, 1, 2, 1, 1, 1, 1, 1]


def test_a_worker_that_stops_leaves_its_group(desk: Desk) -> None:
    worker, stop = desk.worker(), threading.Event()
    desk.push(iron_oxides(1))
    step = worker.step

    def last_step(block_s: float = 0.0) -> int:
        stop.set()
        return step(0)

    worker.step = last_step  # type: ignore[method-assign]
    worker.run(stop)
    assert desk.status() == [1]
    assert desk.broker.workers() == []


def test_a_worker_tells_what_it_did(desk: Desk, clock: Clock) -> None:
    worker = desk.worker("w7")
    desk.push(moved(iron_oxides(3), 1, 0, np.nan))
    worker.step(0)
    clock.now += 10
    worker.step(0)
    (state,) = desk.broker.workers()
    assert ".w7." in state.name
    assert (state.frames, state.sites, state.failures) == (3, 2, 1)
    assert (list(state.models), state.problem) == (["tiny@1"], "")


def test_every_start_of_a_worker_has_a_name_of_its_own(desk: Desk) -> None:
    assert len({desk.worker().name for _ in range(5)}) == 5
