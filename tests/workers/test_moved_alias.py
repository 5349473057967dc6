"""A moved alias: what is at work, what goes on, and what is said."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from bundles import iron_oxides, make_bundle
from clocks import Clock
from desk import Desk
from mounts import read_only
from other_versions import other_version, with_files

from model_store.bundle import Bundle
from model_store.remote_shelf import RemoteShelf
from model_store.store import Store
from stream.codec import decode
from stream.memory_broker import MemoryBroker
from stream.messages import ModelRecord
from stream.metrics import Meter
from stream.settings import Settings
from workers.catalogue import StoreCatalogue
from workers.worker import Worker
from xas.errors import StorageFailed, StoreUnreachable, UnknownModel


@dataclass
class StoreDesk(Desk):
    """Models come from a real store."""

    store: Store = field(kw_only=True)

    def __post_init__(self) -> None:
        self.catalogue = StoreCatalogue(self.store)
        self.choose, self.load = self.catalogue.choose, self.catalogue.load

    def made_by(self, model: str = "tiny") -> list[str]:
        """Who made each row, in order."""
        lease = self.broker.acquire(0, "me", above=0)
        names = []
        for result in self.results(model):
            for sha in (result.model,) * result.n_frames:
                record = decode(self.broker.model(lease, sha), ModelRecord)
                names.append(f"{record.name}@{record.version}")
        return names


@pytest.fixture
def store(bundle: Bundle, tmp_path: Path) -> Store:
    """tiny@1 is champion of 1, 2, and 3, which is on another grid."""
    made = Store([tmp_path / "models"], builtin=False)
    made.put(bundle.folder)
    made.put(other_version(bundle, tmp_path / "two", by=0.5).folder)
    made.put(other_version(bundle, tmp_path / "three", shift_ev=2.0).folder)
    return made


@pytest.fixture
def desk(store: Store, clock: Clock) -> Iterator[StoreDesk]:
    desk = StoreDesk(MemoryBroker(Settings(), clock), {}, clock, store=store)
    yield desk
    desk.close()


def look(worker: Worker, desk: StoreDesk) -> None:
    worker.models.look(desk.catalogue)


def feed(worker: Worker, desk: StoreDesk, n: int = 2, model: str = "tiny") -> None:
    desk.push(iron_oxides(n), model)
    worker.step(0)


def said(worker: Worker, desk: StoreDesk) -> str:
    worker._next_report = 0.0
    worker._report()
    (state,) = desk.broker.workers()
    assert not state.stopped
    return str(state.problem)


def test_a_moved_alias_changes_the_model_between_two_batches(desk: StoreDesk) -> None:
    meter = Meter("worker")
    worker = desk.worker(recorder=meter)
    feed(worker, desk)
    desk.store.promote("tiny", 2)
    feed(worker, desk)
    look(worker, desk)
    feed(worker, desk)
    desk.store.rollback("tiny")
    look(worker, desk)
    feed(worker, desk)
    assert desk.made_by() == ["tiny@1"] * 4 + ["tiny@2"] * 2 + ["tiny@1"] * 2
    direct = [desk.load(name).predict(iron_oxides(2)).intensity for name in desk.made_by()[::2]]
    np.testing.assert_allclose(desk.intensity(), np.concatenate(direct), atol=1e-6)
    assert said(worker, desk) == ""
    assert meter.registry.get_sample_value("edgestream_model_swaps_total") == 2.0


def test_a_moved_alias_in_a_bucket_changes_the_model(
    bundle: Bundle, clock: Clock, s3_url: str, tmp_path: Path
) -> None:
    theirs, ours = (Store([RemoteShelf(s3_url, tmp_path / c)], builtin=False) for c in "ab")
    theirs.put(bundle.folder)
    theirs.put(other_version(bundle, tmp_path / "two", by=0.5).folder)
    desk = StoreDesk(MemoryBroker(Settings(), clock), {}, clock, store=ours)
    worker = desk.worker()
    feed(worker, desk)
    for move in (lambda: theirs.promote("tiny", 2), lambda: theirs.rollback("tiny")):
        move()
        look(worker, desk)
        feed(worker, desk)
    assert desk.made_by() == ["tiny@1"] * 2 + ["tiny@2"] * 2 + ["tiny@1"] * 2
    desk.close()


def test_a_read_only_store_goes_on_serving(desk: StoreDesk, tmp_path: Path) -> None:
    desk.store.promote("tiny", 2)
    with read_only(tmp_path / "models"):
        with pytest.raises(StorageFailed, match="Read-only"):
            desk.store.rollback("tiny")
        worker = desk.worker()
        feed(worker, desk)
        look(worker, desk)
        feed(worker, desk)
    assert desk.made_by() == ["tiny@2"] * 4
    assert said(worker, desk) == ""


def test_a_run_that_asked_for_a_version_stays_on_it(desk: StoreDesk) -> None:
    worker = desk.worker()
    feed(worker, desk, model="tiny@1")
    desk.store.promote("tiny", 2)
    look(worker, desk)
    feed(worker, desk, model="tiny@1")
    assert desk.made_by("tiny@1") == ["tiny@1"] * 4


def test_versions_of_the_same_network_are_told_apart(
    desk: StoreDesk, bundle: Bundle, tmp_path: Path
) -> None:
    version = desk.store.put(bundle.folder)
    worker = desk.worker()
    feed(worker, desk)
    desk.store.promote("tiny", version)
    look(worker, desk)
    feed(worker, desk)
    assert desk.made_by() == ["tiny@1"] * 2 + [f"tiny@{version}"] * 2


def test_a_version_that_fails_to_load_leaves_the_old_one_serving(
    desk: StoreDesk, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = desk.worker()
    feed(worker, desk)
    damaged = desk.store.home.folder("tiny", 2) / "model.onnx"
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:1000])
    desk.store.promote("tiny", 2)
    for _ in range(5):
        look(worker, desk)
        clock.now += 20.0
    feed(worker, desk)
    assert desk.made_by() == ["tiny@1"] * 4
    assert "does not match its SHA-256" in said(worker, desk)
    assert "tiny@1 goes on serving" in said(worker, desk)
    assert capsys.readouterr().err.count("does not match its SHA-256") == 1
    desk.store.rollback("tiny")
    look(worker, desk)
    assert said(worker, desk) == ""


def test_a_version_that_answers_its_check_input_differently_is_not_taken(
    desk: StoreDesk, bundle: Bundle, tmp_path: Path
) -> None:
    worker = desk.worker()
    feed(worker, desk)
    liar = make_liar(bundle, tmp_path / "liar")
    desk.store.promote("tiny", desk.store.put(liar.folder))
    look(worker, desk)
    feed(worker, desk)
    assert desk.made_by() == ["tiny@1"] * 4
    assert "of the check input is off by" in said(worker, desk)


def make_liar(bundle: Bundle, folder: Path) -> Bundle:
    """The network of one model with the check input's answer of another."""
    other = make_bundle(folder / "other", seed=7)
    return with_files(bundle, folder / "liar", model=other.model())


def test_a_damaged_version_that_is_mended_is_taken_without_a_further_move(
    desk: StoreDesk, clock: Clock
) -> None:
    worker = desk.worker()
    feed(worker, desk)
    model = desk.store.home.folder("tiny", 2) / "model.onnx"
    whole = model.read_bytes()
    model.chmod(0o644)
    model.write_bytes(whole[:1000])
    desk.store.promote("tiny", 2)
    look(worker, desk)
    model.write_bytes(whole)
    clock.now += 60.0
    look(worker, desk)
    feed(worker, desk)
    assert desk.made_by() == ["tiny@1"] * 2 + ["tiny@2"] * 2
    assert said(worker, desk) == ""


def test_an_alias_to_nothing_changes_nothing(desk: StoreDesk) -> None:
    worker = desk.worker()
    feed(worker, desk)
    desk.store.promote("tiny", 2)
    shutil.rmtree(desk.store.home.folder("tiny", 2))
    look(worker, desk)
    feed(worker, desk)
    assert desk.made_by() == ["tiny@1"] * 4
    assert "version 2, which is not there" in said(worker, desk)


def test_a_store_that_is_gone_leaves_the_models_at_work(
    desk: StoreDesk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = desk.worker()
    feed(worker, desk)
    (tmp_path / "models").rename(tmp_path / "away")
    for _ in range(3):
        look(worker, desk)
    feed(worker, desk)
    assert desk.made_by() == ["tiny@1"] * 4
    assert str(tmp_path / "models") in said(worker, desk)
    assert capsys.readouterr().err.count("going on with what is known here") == 1
    (tmp_path / "away").rename(tmp_path / "models")
    look(worker, desk)
    assert said(worker, desk) == ""


def test_a_store_that_hangs_is_no_reason_to_wait(desk: StoreDesk) -> None:
    worker = desk.worker()
    feed(worker, desk)

    class Gone:
        def choose(self, reference: str) -> None:
            raise StoreUnreachable("s3://bucket: no answer")

    worker.models.look(Gone())  # type: ignore[arg-type]
    feed(worker, desk)
    assert desk.made_by() == ["tiny@1"] * 4
    assert "no answer; tiny@1 goes on serving" in said(worker, desk)


def test_a_run_keeps_its_energy_grid_and_new_runs_get_the_new_one(
    desk: StoreDesk, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = desk.worker()
    feed(worker, desk)
    desk.store.promote("tiny", 3)
    look(worker, desk)
    feed(worker, desk)
    feed(worker, desk)
    assert desk.made_by() == ["tiny@1"] * 6
    why = "tiny@3 predicts 16 energies from 7099 to 7174 eV, tiny@1 16 energies from 7097 to 7172"
    assert why in said(worker, desk)
    assert capsys.readouterr().err.count(why) == 1
    feed(worker, desk, model="tiny@champion")
    assert desk.made_by("tiny@champion") == ["tiny@3"] * 2


def test_a_worker_that_comes_later_keeps_to_the_grid_of_the_run(desk: StoreDesk) -> None:
    feed(desk.worker("first"), desk)
    desk.store.promote("tiny", 3)
    feed(desk.worker("second"), desk)
    assert desk.made_by() == ["tiny@1"] * 4
    desk.store.promote("tiny", 2)
    feed(desk.worker("third"), desk)
    assert desk.made_by()[4:] == ["tiny@2"] * 2


def test_only_a_few_models_are_kept(desk: StoreDesk) -> None:
    worker = desk.worker()
    feed(worker, desk)
    for i in range(12):
        desk.store.promote("tiny", 1 + i % 2)
        look(worker, desk)
    assert worker.models.names() == ["tiny@2"]
    assert len(worker.models._kept) == 2


def test_an_unknown_alias_is_a_dead_letter_that_names_those_there_are(desk: StoreDesk) -> None:
    feed(desk.worker(), desk, model="tiny@shadow")
    (letter, _) = desk.dead()
    assert letter.error == UnknownModel.__name__
    assert "it has 1, 2, 3, champion" in letter.reason


def test_a_hundred_swaps_take_no_memory(desk: StoreDesk) -> None:
    worker = desk.worker()
    feed(worker, desk)
    for i in range(130):
        desk.store.promote("tiny", 1 + (i + 1) % 2)
        worker.models._kept.clear()  # so that each is loaded anew
        look(worker, desk)
        feed(worker, desk)
        if i == 29:
            before = resident_mib()
    assert desk.made_by()[-4:] == ["tiny@2"] * 2 + ["tiny@1"] * 2
    assert resident_mib() - before < 10.0


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
