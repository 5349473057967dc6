"""Following a run: its spectra as they arrive, before they are on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream.broker import ResultEntry, RunState
from stream.codec import decode
from stream.messages import ModelRecord, ResultBlock
from stream.result_rows import UsedModel, known_only, model_indices
from stream.settings import Settings
from xas.errors import BadMessage

LOOK_S = 0.25


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """The spectra of consecutive frames first, first + 1, ... of a run, as a worker gave them back.

    status u1 (n_frames,), 1 predicted, 2 dead-lettered; t_pushed f8 (n_frames,) and t_predicted:
    seconds since 1970, by the producer's and the worker's clock, NaN where unknown; energy f8
    (n_energy,) eV; frame_index i8, atom_index i4 (n_sites,); intensity, errors f4 (n_sites,
    n_energy); novelty f4 (n_sites,). ``model`` is the SHA-256 of the
    manifest of the bundle.
    """

    run: str
    first: int
    n_frames: int
    model: str
    t_predicted: float
    t_pushed: NDArray[np.float64]
    status: NDArray[np.uint8]
    energy: NDArray[np.float64]
    frame_index: NDArray[np.int64]
    atom_index: NDArray[np.int32]
    intensity: NDArray[np.float32]
    errors: NDArray[np.float32]
    novelty: NDArray[np.float32]


class FollowedBroker(Protocol):
    """What following needs of a broker."""

    settings: Settings

    def results_end(self, shard: int) -> str:
        """See ViewerBroker."""

    def follow(self, shard: int, after: str, *, block_s: float) -> list[ResultEntry]:
        """See ViewerBroker."""

    def known_model(self, shard: int, sha256: str) -> bytes | None:
        """See ViewerBroker."""

    def run(self, run: str) -> RunState | None:
        """See ViewerBroker."""


class Follower:
    """What arrives of a run from now on, in the order in which workers give it back.

    Lossy, and free of charge for everybody else: it looks into the results that wait for the
    writer. Who comes later than the writer's commit (0.2 s by default) has missed a result; the
    file has it. Holds a connection while it waits: take a broker of its own for a thread.
    """

    def __init__(self, broker: FollowedBroker, run: str) -> None:
        self._broker, self._run = broker, run
        self._shard = broker.settings.shard_of(run)
        self._after = broker.results_end(self._shard)
        self._models = {"": UsedModel(0, np.zeros(0))}

    def read(self, block_s: float = LOOK_S) -> list[Arrived]:
        """What has arrived since the last call; waits up to ``block_s`` while there is nothing."""
        entries = self._broker.follow(self._shard, self._after, block_s=block_s)
        if entries:
            self._after = entries[-1].id
        return [self._arrived(e.payload) for e in entries if e.run == self._run]

    def until_finished(
        self, watch: Callable[[], None] = lambda: None, look_s: float = LOOK_S
    ) -> Iterator[Arrived]:
        """All that arrives, until every frame of the sealed run is on disk.

        ``watch`` is called now and then; what it raises ends the iteration.
        """
        next_look = 0.0
        while True:
            yield from (arrived := self.read(look_s))
            if time.monotonic() < next_look:
                continue
            next_look = time.monotonic() + look_s
            watch()
            state = self._broker.run(self._run)
            if not arrived and (state is None or state.finished):
                return

    def _arrived(self, payload: bytes) -> Arrived:
        result = decode(payload, ResultBlock)
        for sha256 in (result.model, result.challenger):
            self._learn(sha256)
        energy = self._models[result.model].energy
        frame = result.site_frame.view("<i4", -1)
        rows, n = len(frame), result.n_frames
        errors, novelty = known_only(
            result.errors.view("<f4", rows, len(energy)),
            result.novelty.view("<f4", rows),
            model_indices([result], [n], self._models)[frame],
            self._models,
        )
        return Arrived(
            run=result.run,
            first=result.first,
            n_frames=n,
            model=result.model,
            t_predicted=result.t_predicted,
            t_pushed=result.t_pushed.view("<f8", n) if result.ours else np.full(n, np.nan),
            status=result.status.view("|u1", n),
            energy=energy,
            frame_index=frame.astype(np.int64) + result.first,
            atom_index=result.site_atom.view("<i4", rows),
            intensity=result.intensity.view("<f4", rows, len(energy)),
            errors=errors,
            novelty=novelty,
        )

    def _learn(self, sha256: str) -> None:
        if sha256 in self._models:
            return
        packed = self._broker.known_model(self._shard, sha256)
        if packed is None:
            raise BadMessage(f"run {self._run!r}: spectra of a model that nobody published")
        self._models[sha256] = UsedModel.of(len(self._models), decode(packed, ModelRecord))
