"""What a frame costs the writer, stage by stage: 69 atoms, 226 energies, blocks of 118 frames.

    python -m pytest benchmarks/test_files.py --benchmark-columns=min,median,rounds

``extra_info`` has the microseconds of processor time a frame, the smallest and the median; the
times of the table are those of the wall. Where the time goes:

    python -m cProfile -s tottime -m pytest benchmarks/test_files.py -k bulk --benchmark-disable
    perf record -g python -m pytest benchmarks/test_files.py -k bulk --benchmark-disable
    strace -c -f python -m pytest benchmarks/test_files.py -k bulk --benchmark-disable
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.broker import Completion
from stream.codec import Array, encode
from stream.memory_broker import MemoryBroker
from stream.messages import FrameBlock, ModelRecord, ResultBlock, RunSpec
from stream.result_file import RunFolder, RunHeader
from stream.result_file.average import RunningAverage
from stream.result_file.rows import Rows
from stream.settings import Settings
from stream.writer import Writer, keep_memory
from xas.spectrum import edge_step
from xas.structure import StructureBatch

ATOMS, BLOCK = 69, 118
COMMIT = 34 * BLOCK  # what a fifth of a second brings at 20,000 frames/s


def spectra(n: int, energy: np.ndarray) -> np.ndarray:
    """(n, n_energy) float32: edges of different heights, with noise."""
    rng = np.random.default_rng(n)
    edge = 1.0 + np.tanh((energy - 7118.0) / 4.0) + 0.2 * np.exp(-(((energy - 7128.0) / 5.0) ** 2))
    heights = 1.0 + 0.05 * rng.standard_normal((n, 1))
    return (edge * heights + 0.01 * rng.standard_normal((n, len(energy)))).astype(np.float32)


def structures(n: int, atoms: int = ATOMS) -> StructureBatch:
    rng = np.random.default_rng(atoms)
    return StructureBatch.from_arrays(
        rng.integers(1, 27, n * atoms),
        rng.normal(0.0, 5.0, (n * atoms, 3)),
        np.arange(n + 1) * atoms,
    )


def rows(first: int, n: int, energy: np.ndarray, atoms: int = ATOMS) -> Rows:
    """n frames with one site each."""
    intensity = spectra(n, energy)
    errors = intensity / 20
    return Rows(
        first_index=first,
        frame_time=np.arange(first, first + n, dtype=np.float64),
        status=np.ones(n, np.uint8),
        intensity=intensity,
        errors=errors,
        edge_step=np.ones(n, np.float32),
        novelty=np.ones(n, np.float32),
        model_index=np.zeros(n, np.int16),
        t_pushed=np.zeros(n),
        t_predicted=np.zeros(n),
        site_frame=np.arange(first, first + n),
        site_atom=np.zeros(n, np.int32),
        site_intensity=intensity,
        site_errors=errors,
        structures=structures(n, atoms),
    )


def moved(block: Rows, first: int) -> Rows:
    """The same rows for frames from ``first`` on."""
    fields = {name: getattr(block, name) for name in Rows.__slots__}
    index = {"first_index": first, "site_frame": block.site_frame - block.first_index + first}
    return Rows(**fields | index)


ENERGY = np.linspace(7089.5, 7179.5, 226)
keep_memory()  # as a writer's process does


MODEL = "ab" * 32


class Served:
    """A broker in memory with a run whose frames a worker has predicted, and its writer."""

    def __init__(self, out: Path, block: int) -> None:
        self.now, self.block, self.done = 1.7e9, block, 0
        settings = Settings(segment_grace_s=0.0, high_water_bytes=1 << 40)
        self.broker = MemoryBroker(settings, lambda: self.now)
        self.broker.publish_model(MODEL, encode(model_record()))
        spec = RunSpec(model="fe-k")
        self.run = self.broker.open_run("md", spec, run_id="bench", resume=False)
        self.writer = Writer(self.broker, out, settings=settings, clock=lambda: self.now)
        self.frames, self.spectra = structures(block), spectra(block, ENERGY)

    def work(self, frames: int) -> int:
        """Push so many frames and predict them; how many."""
        for first in range(self.done, self.done + frames, self.block):
            block = FrameBlock.of(
                self.frames, run="md", first=first, model="fe-k", t_pushed=self.now
            )
            self.broker.push(self.run, first, self.block, encode(block))
            self.done = first + self.block
        while entries := self.broker.read("w", block_s=0):
            for entry in entries:
                done = Completion(entries=[entry], result=self.result(entry.first), model=MODEL)
                self.broker.complete("w", [done])
        return frames

    def result(self, first: int) -> bytes:
        n = self.block
        return encode(
            ResultBlock(
                run="md", first=first, n_frames=n, model=MODEL, t_predicted=self.now, ours=True,
                status=Array.of(np.ones(n, np.uint8)), t_pushed=Array.of(np.full(n, self.now)),
                site_frame=Array.of(np.arange(n, dtype="<i4")),
                site_atom=Array.of(np.zeros(n, "<i4")), intensity=Array.of(self.spectra),
                errors=Array.of(self.spectra / 20), novelty=Array.of(np.ones(n, np.float32)),
                reasons={},
            )
        )  # fmt: skip

    def step(self) -> None:
        self.now += 0.2
        self.writer.step(0)


def model_record() -> ModelRecord:
    return ModelRecord(
        name="fe-k", version=1, sha256=MODEL, element="Fe", edge="K", descriptor="{}",
        provider="CPU", energy=Array.of(ENERGY),
    )  # fmt: skip


class Cost:
    """Processor time of pieces of work, microseconds a frame."""

    def __init__(self) -> None:
        self.each: list[float] = []

    def of(self, frames: int, work: Callable[[], Any]) -> Any:
        start = time.process_time()
        value = work()
        self.each.append(1e6 * (time.process_time() - start) / frames)
        return value

    def tell(self, benchmark: Any, **more: Any) -> None:
        benchmark.extra_info.update(
            cpu_us_a_frame_min=round(min(self.each), 2),
            cpu_us_a_frame=round(statistics.median(self.each), 2),
            **more,
        )
        print(f"\n  {benchmark.name}: {benchmark.extra_info}")


@pytest.fixture
def cost() -> Cost:
    return Cost()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Callable[..., RunFolder]]:
    def make(name: str = "md", energy: np.ndarray = ENERGY) -> RunFolder:
        header = RunHeader(
            run=name, element="Fe", edge="K", energy=energy, time_units="fs", start_time=1.7e9
        )
        made = RunFolder.recover(tmp_path, name, header=header, epoch=1, grace_s=0.0)
        made.add_model("fe-k", "1", "ab" * 32)
        return made

    yield make
    for path in sorted(tmp_path.rglob("*"), reverse=True):  # gigabytes, which pytest would keep
        path.rmdir() if path.is_dir() else path.unlink()


def test_the_edge_steps(benchmark: Any, cost: Cost) -> None:
    block = spectra(COMMIT, ENERGY)
    benchmark(lambda: cost.of(COMMIT, lambda: edge_step(ENERGY, block)))
    cost.tell(benchmark)


def test_the_average(benchmark: Any, cost: Cost) -> None:
    block, average = rows(0, COMMIT, ENERGY), RunningAverage(ENERGY)
    counted = (block.status, block.intensity, block.errors)
    benchmark(lambda: cost.of(COMMIT, lambda: average.add(*counted)))
    cost.tell(benchmark)


@pytest.mark.parametrize("frames", [1, BLOCK, COMMIT])
def test_a_commit(benchmark: Any, cost: Cost, folder: Any, frames: int) -> None:
    """One append: the columns, the file, two syncs, and the check before it is acknowledged."""
    run, block = folder(), rows(0, frames, ENERGY)

    def commit() -> None:
        run.append(moved(block, run.n_frames))
        run.check()

    benchmark.pedantic(lambda: cost.of(frames, commit), rounds=20, warmup_rounds=1)
    cost.tell(benchmark)


def test_the_main_file_over_twenty_segments(benchmark: Any, cost: Cost, folder: Any) -> None:
    run, block = folder(), rows(0, 10, ENERGY)
    for _ in range(20):
        run.append(moved(block, run.n_frames))
    benchmark.pedantic(lambda: cost.of(1, lambda: run.refresh(force=True)), rounds=20)
    cost.tell(benchmark, segments=run.n_segments, bytes=run.path.stat().st_size)


def test_a_merge(benchmark: Any, cost: Cost, folder: Any) -> None:
    """Twenty-five commits become one; the main file is in it."""
    block = rows(0, 5 * BLOCK, ENERGY)

    def prepared() -> tuple[tuple[RunFolder], dict[str, Any]]:
        run = folder(f"md{len(cost.each)}")
        for _ in range(25):
            run.append(moved(block, run.n_frames))
        return (run,), {}

    def merge(run: RunFolder) -> None:
        cost.of(run.n_frames, lambda: run.refresh(force=True))
        assert run.n_segments == 1

    benchmark.pedantic(merge, setup=prepared, rounds=5)
    cost.tell(benchmark)


def bulk(run: RunFolder, frames: int, block: Rows) -> None:
    """Frames as they come at full speed: commits, the main file once a second, merges."""
    for _ in range(-(-frames // len(block))):
        run.append(moved(block, run.n_frames))
        run.check()
        run.refresh()


@pytest.mark.parametrize("frames", [1_000, 10_000, 100_000])
def test_bulk(benchmark: Any, cost: Cost, folder: Any, frames: int) -> None:
    grow(benchmark, cost, folder(), frames, rows(0, min(COMMIT, frames), ENERGY))


@pytest.mark.parametrize("frames", [1_000, 10_000, 100_000, 1_000_000])
def test_bulk_of_short_spectra(benchmark: Any, cost: Cost, folder: Any, frames: int) -> None:
    """Sixteen energies and four atoms, so that a million frames fit on any disk."""
    energy = np.linspace(7097.0, 7172.0, 16)
    block = rows(0, min(20_000, frames), energy, atoms=4)
    grow(benchmark, cost, folder(energy=energy), frames, block)


@pytest.mark.parametrize(("block", "frames"), [(BLOCK, COMMIT), (1, 600)])
def test_the_whole_writer(
    benchmark: Any, cost: Cost, tmp_path: Path, block: int, frames: int
) -> None:
    """From the bytes of results to rows that are acknowledged, merges and main files included."""
    served = Served(tmp_path, block)
    for _ in range(60):
        n = served.work(frames)
        cost.of(n, served.step)
        assert served.broker.run("md").watermark == served.done
    served.broker.seal(served.run, 0)
    benchmark.pedantic(served.step, rounds=1)
    assert served.broker.run("md").finished
    mean = sum(cost.each[1:]) / len(cost.each[1:])
    cost.tell(benchmark, mean=round(mean, 2), finish_s=round(benchmark.stats["min"], 2))


def grow(benchmark: Any, cost: Cost, run: RunFolder, frames: int, block: Rows) -> None:
    finish = Cost()
    benchmark.pedantic(lambda: cost.of(frames, lambda: bulk(run, frames, block)), rounds=1)
    started = time.perf_counter()
    path = finish.of(run.n_frames, lambda: run.finish(sealed=True))
    cost.tell(
        benchmark,
        finish_cpu_us_a_frame=round(finish.each[0], 2),
        finish_s=round(time.perf_counter() - started, 2),
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        bytes_a_frame=path.stat().st_size // run.n_frames,
    )
