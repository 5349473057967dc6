"""The Python face of the service: connect, open a run, push frames, read the result."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgestream.local import LocalService, ServiceOptions
from edgestream.passwords import complete_url
from edgestream.prediction import Absorbers, as_batch, open_run, read_absorbers
from edgestream.recorders import recorder_of
from stream.broker import RunState
from stream.codec import encode
from stream.following import Arrived, Follower
from stream.forwarding import Policy
from stream.label_stream import push_patiently
from stream.labels import label_of, structure_of_atoms
from stream.messages import RunSpec, check_run_name
from stream.producer import Producer
from stream.redis_broker import RedisBroker
from stream.redis_label_stream import RedisLabelStream
from stream.result_file.reader import RunFile
from stream.settings import Settings
from stream.sources.dynamics import Observer
from stream.sources.frames import FrameChunk
from xas.errors import Reject, Retry, RunRefused
from xas.structure import AtomsLike, StructureBatch

POLL_S = 0.05


def connect(
    url: str | None = None,
    *,
    out: str | Path = ".",
    workers: int | None = None,
    device: str = "cpu",
    models: Path | str | None = None,
    settings: Settings | None = None,
) -> EdgeStream:
    """A service to push runs through: the one at ``url``, or one of its own on this machine.

    ``url`` None: $EDGESTREAM_URL where it is set, else an embedded server, workers and a writer
    into ``out`` are started, and stopped with the ``with`` block. Raises ServerUnreachable.
    """
    url = url or os.environ.get("EDGESTREAM_URL") or None
    url = complete_url(url) if url else None
    options = ServiceOptions(
        url=url,
        out=None if url else Path(out),
        workers=0 if url else workers,
        device=device,
        models=None if models is None else str(models),
        settings=settings or Settings(),
    )
    return EdgeStream(LocalService(options).start())


def file_of(state: RunState) -> Path:
    """The file of a run; RunRefused, naming host and path, where it cannot be reached from here."""
    if not state.file:
        raise RunRefused(f"run {state.run!r} has no file: no writer took it on, or no frame came")
    if not Path(state.file).exists():
        raise RunRefused(
            f"the file of run {state.run!r} lies on {state.host}: {state.file}"
            + (" (gone)" if state.host == socket.gethostname() else "")
        )
    return Path(state.file)


class EdgeStream:
    """A connection; ``close`` or the end of a ``with`` block also drains what is its own."""

    def __init__(self, service: LocalService) -> None:
        self._service = service
        self._recorder = recorder_of("producer", None)

    @property
    def broker(self) -> RedisBroker:
        """What stands behind: for tools that need more than runs."""
        return self._service.broker

    def run(
        self,
        name: str,
        model: str = "fe-k",
        *,
        absorber: str | None = None,
        timestep_fs: float | None = None,
        time_units: str = "frame",
        priority: str = "live",
        title: str = "",
        sample: str = "",
        keep_structures: bool = True,
        resume: bool = False,
        policy: Policy = "block",
        deadline_s: float | None = 600.0,
        spool: str | Path | None = None,
    ) -> Run:
        """Open a run; it is sealed at the end of its ``with`` block.

        timestep_fs: time between frames, where pushes give no times of their own. resume: go on
        with a run that has frames already; ``run.next_index`` tells with which. policy: what
        happens when the service is behind (see Producer). spool: a folder that keeps the frames on
        this machine's disk until they are in the result file; after a crash, resume=True with the
        same folder goes on behind the last frame that was accepted. Raises RunRefused.
        """
        spec = RunSpec(
            model=model,
            absorber=absorber,
            priority=priority,
            time_units="fs" if timestep_fs is not None else time_units,
            title=title,
            sample=sample,
            keep_structures=keep_structures,
        )
        producer = Producer(
            self.broker,
            check_run_name(name),
            spec,
            settings=self._service.options.settings,
            resume=resume,
            policy=policy,
            deadline_s=deadline_s,
            spool=None if spool is None else Path(spool),
            recorder=self._recorder,
        )
        return Run(producer, self.broker, self._service.watch, timestep_fs)

    def label(
        self,
        atoms: AtomsLike | StructureBatch,
        energy: ArrayLike,
        intensity: ArrayLike,
        *,
        source: str = "",
        weight: float = 1.0,
        theory: str = "",
        absorber: int | str | None = None,
        edge: str = "K",
        name: str = "",
        group: str = "",
        deadline_s: float | None = 600.0,
    ) -> str:
        """Give the trainer a structure with its spectrum; the label's hash, once the server has it.

        energy (n_energy,) eV, absolute; intensity (n_energy,). To label the same twice is harmless.
        absorber: an index, or the element of which there is one atom; None: the element whose edge
        the energies are of. theory: the level of theory; spectra of two are never mixed in a
        training. group: what must not be split between training and validation (default: the
        formula). Raises BadLabels, Backpressure where the trainer is behind for ``deadline_s``, and
        Reject on a service of our own, which has no trainer: labels would end with it.
        """
        if self._service.server is not None:
            raise Reject("labels need a service with a trainer: connect(URL) to one that runs")
        label = label_of(
            structure_of_atoms(atoms),
            energy,
            intensity,
            absorber=absorber,
            edge=edge,
            theory=theory,
            source=source,
            name=name,
            group=group,
            weight=weight,
        )
        push_patiently(self._labels, [encode(label)], deadline_s=deadline_s)
        return label.sha256

    @cached_property
    def _labels(self) -> RedisLabelStream:
        return RedisLabelStream(self._service.url, self._service.options.settings)

    def runs(self) -> list[RunState]:
        """Every run that the service knows."""
        return self.broker.runs()

    def follow(self, name: str) -> Iterator[Arrived]:
        """The spectra of a run as they arrive from now on, until all of it is on disk.

        In the order in which workers finish them, a block of frames at a time. Whoever takes longer
        than the writer (0.2 s by default) over a block may miss the next ones: the file has all.
        RunRefused, at once, for a run that nobody has opened yet, and for one that is finished.
        """
        follower = Follower(self.broker, check_run_name(name))
        state = self.broker.run(name)
        if state is None:
            known = ", ".join(sorted(s.run for s in self.runs())) or "none"
            raise RunRefused(f"the service knows no run {name!r}; it knows: {known}")
        if state.finished:
            raise RunRefused(
                f"run {name!r} is finished, nothing more arrives: "
                f"edgestream.open_run({state.file!r}) on {state.host} has all of it"
            )
        return follower.until_finished(self._service.watch)

    def close(self) -> None:
        """Disconnect; a service of our own finishes what it has accepted."""
        if "_labels" in self.__dict__:
            self._labels.close()
        self._service.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Run:
    """An open run of ours. Its ``with`` block seals it, unless an exception leaves the block."""

    def __init__(
        self,
        producer: Producer,
        broker: RedisBroker,
        watch: Callable[[], None],
        timestep_fs: float | None,
    ) -> None:
        self._producer, self._broker, self._watch = producer, broker, watch
        self._timestep_fs = timestep_fs

    @property
    def name(self) -> str:
        """The run's name."""
        return self._producer.run

    @property
    def next_index(self) -> int:
        """The index that the next frame will have."""
        return self._producer.next_index

    def push(
        self,
        atoms: AtomsLike | Iterable[AtomsLike] | StructureBatch,
        *,
        times: Iterable[float] | float | None = None,
        absorbers: Absorbers | None = None,
    ) -> None:
        """Push one structure or several; returns when the service holds them.

        times: in the run's units; absorbers: one list of atom indices a structure.
        """
        batch = as_batch(atoms)
        sites, symbol = read_absorbers(batch, absorbers)
        if symbol not in (None, self._producer.spec.absorber):
            raise RunRefused(f"run {self.name!r}: name an absorbing element when the run is opened")
        self._producer.push(batch, self._times(times, len(batch)), sites)

    def _times(self, times: Iterable[float] | float | None, n: int) -> NDArray[np.float64] | None:
        if times is None:
            if self._timestep_fs is None:
                return None
            return self._timestep_fs * np.arange(self.next_index, self.next_index + n, dtype=float)
        given = np.atleast_1d(np.asarray(times, dtype=np.float64))
        if len(given) != n:
            raise RunRefused(f"run {self.name!r}: {len(given)} times for {n} structures")
        return given

    def observe(self, atoms: AtomsLike, clock: Callable[[], float] | None = None) -> Observer:
        """A callable that pushes the atoms as they are: ``dyn.attach(run.observe(atoms), 10)``.

        clock: returns the time in the run's units.
        """
        return Observer(atoms, self._push_chunk, clock)

    def _push_chunk(self, chunk: FrameChunk) -> None:
        self.push(chunk.structures, times=chunk.times_fs)

    def seal(self, *, interrupted: bool = False) -> int:
        """End the run after the frames pushed so far; how many they are."""
        return self._producer.seal(interrupted=interrupted)

    def state(self) -> RunState:
        """What the service knows of the run; Retry where it has forgotten it."""
        state = self._broker.run(self.name)
        if state is None:
            raise Retry(f"the server does not know run {self.name!r} (any more)")
        return state

    def result(self, timeout_s: float | None = None) -> RunFile:
        """Wait until the file is complete and open it.

        Retry where ``timeout_s`` passed; RunRefused, naming host and path, where the file lies on
        another machine.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while not (state := self._settling()).finished:
            self._watch()
            if state.refusal:
                raise RunRefused(state.refusal)
            if end is not None and time.monotonic() > end:
                raise Retry(
                    f"run {self.name!r}: {state.watermark} of {state.next_index} frames on disk"
                )
            time.sleep(POLL_S)
        return open_run(file_of(state))

    def _settling(self) -> RunState:
        """The run as it stands, after its spool has seen to what a server may have lost."""
        self._producer.settle()
        return self.state()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.seal()
        else:
            self._producer.close()
