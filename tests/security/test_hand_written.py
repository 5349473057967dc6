"""What a producer may write by hand, or a worker, harms its own run and no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from bundles import iron_oxides, make_bundle

from edgestream.embedded import EmbeddedServer
from stream.messages import RunSpec
from stream.producer import Producer
from stream.redis_answers import RUN_FIELDS
from stream.redis_broker import RedisBroker
from stream.redis_connection import RedisConnection
from stream.result_file.reader import RunFile
from stream.settings import Settings
from stream.writer import Writer
from workers.catalogue import Choice
from workers.isolation import IsolatedPredictor
from workers.predictor import Predictor
from workers.worker import Worker

pytestmark = pytest.mark.processes
SETTINGS = Settings(commit_interval_s=0.001)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as started:
        yield started


@pytest.fixture
def hand(server: EmbeddedServer) -> Iterator[RedisConnection]:
    """Somebody who may write what producers and workers write."""
    connection = RedisConnection(server.url)
    connection.command("FLUSHALL")
    yield connection
    connection.close()


class Service:
    """A worker and a writer that are stepped by hand."""

    def __init__(self, url: str, folder: Path) -> None:
        self.out, self.broker = folder / "out", RedisBroker(url, SETTINGS)
        self._predictor = Predictor(make_bundle(folder / "tiny"))
        isolation = IsolatedPredictor(["false"], timeout_s=1.0)
        self.worker = Worker(
            self.broker, lambda: self, isolation=isolation, name="w", settings=SETTINGS
        )
        self.writer = Writer(self.broker, self.out, settings=SETTINGS)

    def load(self, reference: str) -> Predictor:
        return self._predictor

    def choose(self, reference: str) -> Choice:
        return Choice(champion=reference)

    def predict(self, run: str) -> None:
        """A run's whole way."""
        producer = Producer(self.broker, run, RunSpec(model="tiny"), settings=SETTINGS)
        producer.push(iron_oxides(3))
        producer.seal()
        self.step(until=run)

    def step(self, until: str = "") -> None:
        for _ in range(400):
            self.worker.step(0)
            self.writer.step(0.001)
            state = self.broker.run(until) if until else None
            if state is not None and (state.finished or state.refusal or state.fault):
                return


@pytest.fixture
def service(hand: RedisConnection, server: EmbeddedServer, tmp_path: Path) -> Iterator[Service]:
    made = Service(server.url, tmp_path)
    yield made
    made.broker.close()


def assert_others_go_on(service: Service) -> None:
    service.predict("good")
    with RunFile(service.out / "good.h5") as file:
        assert (file.status == 1).all()
        assert len(file) == 3


MAD = (b"", b"abc", b"-1", b"1e300", b"nan", b"9" * 400, b"9007199254740991", b"\xff\xfe", b"\0")


@pytest.mark.parametrize("field", [*RUN_FIELDS, "priority", "model"])
def test_a_field_of_a_record_harms_only_its_run(
    service: Service, hand: RedisConnection, field: str
) -> None:
    for number, value in enumerate(MAD):
        run = f"evil-{number}"
        producer = Producer(service.broker, run, RunSpec(model="tiny"), settings=SETTINGS)
        producer.push(iron_oxides(2))
        hand.command("HSET", f"{{es:0}}:run:{run}", field, value)
    assert_others_go_on(service)
    assert len(service.broker.runs()) == len(MAD) + 1


MAD_SPECS = (
    {},
    {"model": 5},
    {"model": "x", "title": "a\0b"},
    {"model": "x", "priority": "top"},
    7,
)


@pytest.mark.parametrize("spec", MAD_SPECS, ids=str)
def test_a_mad_specification_is_refused_in_one_line(
    service: Service, hand: RedisConnection, spec: object, capsys: pytest.CaptureFixture[str]
) -> None:
    Producer(service.broker, "evil", RunSpec(model="tiny"), settings=SETTINGS)
    hand.command("HSET", "{es:0}:run:evil", "spec", msgspec.msgpack.encode(spec))
    assert_others_go_on(service)
    said = [line for line in capsys.readouterr().err.splitlines() if "'evil' refused" in line]
    assert len(said) == 1
    assert "its record is damaged: " in said[0]


NAMES = ("../../escaped", "/tmp/escaped", "a/b", "..", ".hidden", "a\nb", "x" * 5000, b"\xff", "")


def test_a_strange_name_reaches_nothing_outside_the_folder(
    service: Service, hand: RedisConnection, tmp_path: Path
) -> None:
    Producer(service.broker, "model", RunSpec(model="tiny"), settings=SETTINGS)
    flat = hand.command("HGETALL", "{es:0}:run:model")
    for name in NAMES:
        raw = name if isinstance(name, bytes) else name.encode()
        hand.command("SADD", "{es:0}:open", raw)
        hand.command("SADD", "{es:0}:runs", raw)
        hand.command("HSET", b"{es:0}:run:" + raw, *flat)
    assert_others_go_on(service)
    assert {p.name for p in tmp_path.iterdir()} == {"out", "tiny"}
    assert {p.name.split(".")[0] for p in service.out.iterdir()} <= {"good", "model"}


MAD_ENTRIES = (
    ("k", "{es:0}:writer"),
    ("k", "{es:0}:f:0123456789abcdef0123456789abcdef-1 {es:0}:writer"),
    ("k", "{es:1}:f:0123456789abcdef0123456789abcdef-1"),
    ("n", 10**9),
    ("i", 10**30),
    ("r", "../../escaped"),
)


@pytest.mark.parametrize(("field", "value"), MAD_ENTRIES)
def test_an_entry_of_frames_that_lies_is_a_strangers_dead_letter(
    service: Service, hand: RedisConnection, field: str, value: str | int
) -> None:
    words: dict[str, str | int] = {"r": "good", "i": 0, "n": 2}
    words |= {"k": f"{{es:0}}:f:{'0' * 32}-1", field: value}
    hand.command("SET", str(words["k"]) if field == "k" and " " in str(value) else "x", "block")
    hand.command("XADD", "{es:0}:frames:live", "*", *[w for pair in words.items() for w in pair])
    assert_others_go_on(service)
    assert hand.command("HGET", "{es:0}:writer", "owner")
    assert (service.out / "strangers@0.dead").stat().st_size > 0


@pytest.mark.parametrize(
    ("field", "value"), [*MAD_ENTRIES, ("f", "{es:0}:writer"), ("d", "{es:0}:models"), ("z", "-1")]
)
def test_a_result_that_names_what_is_not_a_workers_is_dropped(
    service: Service, hand: RedisConnection, field: str, value: str | int
) -> None:
    words: dict[str, str | int] = {"r": "good", "i": 0, "n": 2, "z": 9}
    words |= {"k": f"{{es:0}}:r:{'0' * 32}-1", "f": f"{{es:0}}:f:{'0' * 32}-1", field: value}
    hand.command("XADD", "{es:0}:results", "*", *[w for pair in words.items() for w in pair])
    assert_others_go_on(service)
    assert hand.command("HGET", "{es:0}:writer", "owner")
    assert hand.command("XLEN", "{es:0}:results") == 0


def test_counters_that_overflow_stop_nobody(service: Service, hand: RedisConnection) -> None:
    for name in ("bulk", "buried"):
        hand.command("HINCRBY", "{es:0}:bytes", name, 2**63 - 1)
    hand.command("XADD", "{es:0}:frames:live", "*", "r", "none of ours")
    assert_others_go_on(service)


@pytest.mark.parametrize("value", [b"", b"\xc1", b"\x05", b"\x81\xa1a\x01"])
def test_a_workers_strange_word_stops_nobody_who_looks(
    service: Service, hand: RedisConnection, value: bytes
) -> None:
    for key in ("{es:0}:workers", "{es:0}:shadows"):
        hand.command("HSET", key, b"\xffstrange", value)
    hand.command("XADD", "{es:0}:buried", "*", "other", "field")
    assert (service.broker.workers(), service.broker.shadows()) == ([], [])
    service.broker.forget_silent(5.0)
    assert hand.command("HLEN", "{es:0}:workers") == 0
    assert_others_go_on(service)


def test_a_model_whose_record_is_mad_is_its_runs_own_fault(
    service: Service, hand: RedisConnection
) -> None:
    assert np.isfinite(service.load("tiny").energy).all()
    hand.command("HSET", "{es:0}:models", service.load("tiny").identity, b"\xc1")
    producer = Producer(service.broker, "evil", RunSpec(model="tiny"), settings=SETTINGS)
    producer.push(iron_oxides(2))
    service.step(until="evil")
    state = service.broker.run("evil")
    assert state is not None
    assert "not a message" in state.refusal
