"""Producer, worker and writer in one process, over the broker in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from bundles import iron_oxides
from clocks import Clock
from desk import Cursed, Desk, moved, with_element

from stream.memory_broker import MemoryBroker
from stream.messages import RunSpec
from stream.producer import Producer
from stream.result_file import RunFile
from stream.settings import Settings
from stream.writer import Writer
from workers.predictor import Predictor

SETTINGS = Settings(block_atoms=30, batch_atoms=90, high_water_bytes=6000, commit_interval_s=0.0)


def test_a_trajectory_becomes_a_file_of_spectra(
    predictor: Predictor, clock: Clock, tmp_path: Path
) -> None:
    broker = MemoryBroker(SETTINGS, clock)
    desk = Desk(broker, {"tiny": Cursed(predictor)}, clock)
    workers = [desk.worker(f"w{i}") for i in range(2)]
    writer = Writer(broker, tmp_path, settings=SETTINGS, clock=clock)

    def everybody_works(seconds: float) -> None:
        clock.sleep(max(seconds, 0.5))
        for part in (*workers, writer):
            part.step(0)

    producer = Producer(
        broker, "md", RunSpec(model="tiny", time_units="fs"), settings=SETTINGS, clock=clock,
        sleep=everybody_works,
    )  # fmt: skip
    frames, times = iron_oxides(200), np.arange(200) * 4.0
    frames = moved(with_element(frames, 77, 118), 150, 1, np.nan)
    producer.push(frames, times)
    assert producer.seal() == 200
    for _ in range(10):
        everybody_works(1.0)
    state = broker.run("md")
    assert (state.finished, state.held_bytes, state.dead) == (True, 0, 2)
    with RunFile(tmp_path / "md.h5") as file:
        assert np.flatnonzero(file.status == 2).tolist() == [77, 150]
        assert [i for i, _ in file.dead_letters] == [77, 150]
        np.testing.assert_array_equal(file.times, times)
        good = np.setdiff1d(np.arange(200), [77, 150])
        direct = predictor.predict(frames.take(good))
        np.testing.assert_allclose(file.intensity[:][good], direct.intensity, atol=1e-6)
        np.testing.assert_allclose(file.errors[:][good], direct.errors, atol=1e-6)
        np.testing.assert_array_equal(file.structures().positions, frames.positions)
        assert file.models[0].name == "tiny"
    desk.close()
