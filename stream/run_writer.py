"""Writing one run: results in any order in, the contiguous prefix on disk, acknowledged after."""

from __future__ import annotations

import heapq
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from stream.broker import Lease, ResultEntry, RunState, WriterBroker
from stream.codec import decode
from stream.dead_letters import RunLetters, notices
from stream.messages import ModelRecord, ResultBlock
from stream.recorder import Recorder, Written
from stream.result_file import RunFolder, RunHeader
from stream.result_file.rows import Rows
from stream.result_file.survey import survey
from stream.result_rows import EDGE_STEP_METHOD, Answer, UsedModel, rows_of
from stream.settings import Settings
from xas.errors import BadMessage, RunForgotten

BYTES_AT_ONCE = 32 << 20  # of results in one commit, when many wait


@dataclass
class RunWriter:
    """The rows of one run between the results stream and its folder.

    Entries wait here until every row before them is there: a file has no holes, and the first
    write of a row wins. Nothing is acknowledged before it is durable.
    """

    broker: WriterBroker
    lease: Lease
    state: RunState
    out: Path
    settings: Settings
    program_version: str
    clock: Callable[[], float]
    on_disk: int = 0
    recorder: Recorder = field(default_factory=Recorder)
    _folder: RunFolder | None = None
    _waiting: dict[str, ResultEntry] = field(default_factory=dict)
    _order: list[tuple[int, str]] = field(default_factory=list)
    _models: dict[str, UsedModel] = field(default_factory=dict)
    _finished: Path | None = None

    def offer(self, entry: ResultEntry) -> None:
        """Take a result in hand; one that is in hand already changes nothing."""
        if entry.id not in self._waiting:
            self._waiting[entry.id] = entry
            heapq.heappush(self._order, (entry.first, entry.id))

    @property
    def end(self) -> int:
        """The index after the last row that is on disk or could be put there now."""
        reach = self.on_disk
        for first, entry_id in sorted(self._order):
            if first > reach:
                break
            reach = max(reach, first + self._waiting[entry_id].n_frames)
        return reach

    def commit(self) -> int:
        """Make what is contiguous durable, then acknowledge it; how many rows were new."""
        before = self.on_disk
        all_here = self._folder is None and self.is_complete
        while batch := self._next_batch():
            try:
                if not self._write(batch, all_here):
                    self._put_back(batch)
                    break
                self._keep_letters(batch)
                self.broker.commit(self.lease, self.state.run, self.on_disk, batch)
            except RunForgotten:
                self._let_go()
                raise
            except BaseException:
                self._put_back(batch)  # what is durable already is only acknowledged next time
                raise
        return self.on_disk - before

    def _next_batch(self) -> list[ResultEntry]:
        reach, batch, size = self.on_disk, [], 0
        while self._order and self._order[0][0] <= reach and size < BYTES_AT_ONCE:
            entry = self._waiting.pop(heapq.heappop(self._order)[1])
            batch.append(entry)
            size += entry.held_bytes
            reach = max(reach, entry.first + entry.n_frames)
        return batch

    def _let_go(self) -> None:
        """What is in hand is of a server that has it no more, and its producer pushes it again."""
        self._waiting.clear()
        self._order.clear()

    def _put_back(self, batch: list[ResultEntry]) -> None:
        for entry in batch:
            self.offer(entry)

    def _write(self, batch: list[ResultEntry], all_here: bool) -> bool:
        """Make a batch durable; False while no model of the run is known, and one may come."""
        new = [entry for entry in batch if entry.first + entry.n_frames > self.on_disk]
        if not new:  # all of it was written before: by us, or by an earlier writer
            self._check()
            return True
        began, before = self.clock(), self.on_disk
        results = [answer_of(entry) for entry in new]
        self._know_models(results)
        if self._folder is None:
            if not all_here:
                return False
            self._open_folder(None)  # every frame is a dead letter: a file without energies
        assert self._folder is not None
        rows = self._new_rows(list(zip(results, [entry.frames for entry in new], strict=True)))
        if rows:
            self._folder.append(Rows.concatenate(rows))
        self.on_disk = self._folder.n_frames
        self._check()
        self.recorder.written(
            Written(
                run=self.state.run,
                n_rows=self.on_disk - before,
                results=results,
                frames=[entry.frames for entry in new],
                began=began,
                ended=self.clock(),
            )
        )
        return True

    def _keep_letters(self, batch: list[ResultEntry]) -> None:
        """Put dead letters on disk after their tombstones, before the server forgets them."""
        letters = [letter for entry in batch for letter in entry.letters]
        if letters:
            RunLetters(self.out, self.state.run).append(letters)
            self.broker.note_dead(self.lease, notices(letters))

    def _check(self) -> None:
        """Before every acknowledgement: what was stored is still there."""
        if self._folder is not None:
            self._folder.check()

    def _new_rows(self, answers: list[Answer]) -> list[Rows]:
        """What is not on disk yet, joined as far as results follow each other without overlap."""
        chains: list[list[Answer]] = []
        reach = self.on_disk
        for result, frames in answers:
            end = result.first + result.n_frames
            if end > reach:
                if not chains or result.first != reach:
                    chains.append([])
                chains[-1].append((result, frames))
                reach = end
        new, reach = [], self.on_disk
        for rows in map(self._rows, chains):
            new.append(rows[reach - rows.first_index :])
            reach = rows.end_index
        return new

    def _rows(self, chain: list[Answer]) -> Rows:
        assert self._folder is not None
        header = self._folder.header
        return rows_of(chain, header.energy, self._models, keep_structures=header.keep_structures)

    # -- the folder -------------------------------------------------------------------------------

    def _know_models(self, results: list[ResultBlock]) -> None:
        """Learn the models of these results; the first of all opens the folder."""
        named = (sha for r in results for sha in (r.model, r.challenger))
        for sha in dict.fromkeys(named):
            if not sha or sha in self._models:
                continue
            record = self._record(sha)
            self._open_folder(record)
            assert self._folder is not None
            index = self._folder.add_model(record.name, str(record.version), record.sha256)
            self._models[sha] = UsedModel.of(index, record)

    def _record(self, sha: str) -> ModelRecord:
        packed = self.broker.model(self.lease, sha)
        if packed is None:
            raise RunForgotten(
                f"run {self.state.run!r}: the server forgot the model {sha[:12]} and with it the "
                "results that wait here: they come again"
            )
        return decode(packed, ModelRecord)

    def _open_folder(self, record: ModelRecord | None) -> None:
        if self._folder is None:
            self._recover(self._header(record))

    def _recover(self, header: RunHeader) -> None:
        self._folder = RunFolder.recover(
            self.out,
            self.state.run,
            header=header,
            epoch=self.lease.epoch,
            clock=self.clock,
            grace_s=self.settings.segment_grace_s,
        )
        self.on_disk = self._folder.n_frames

    def _header(self, record: ModelRecord | None) -> RunHeader:
        spec = self.state.spec
        return RunHeader(
            run=self.state.run,
            element=record.element if record else "",
            edge=record.edge if record else "",
            energy=record.energies.copy() if record else np.zeros(0),
            time_units=spec.time_units,
            start_time=self.state.opened_at,
            title=spec.title or self.state.run,
            sample=spec.sample,
            descriptor=record.descriptor if record else "",
            provider=record.provider if record else "",
            program_version=self.program_version,
            edge_step_method=EDGE_STEP_METHOD,
            keep_structures=spec.keep_structures,
            extra={
                "run_id": self.state.run_id,
                "requested": msgspec.json.encode(spec).decode(),
                "writer_host": socket.gethostname(),
            },
        )

    # -- the end ----------------------------------------------------------------------------------

    @property
    def is_complete(self) -> bool:
        """Whether everything up to the seal is on disk or in hand."""
        return self.state.sealed is not None and self.end >= self.state.sealed

    def finish(self) -> Path | None:
        """Write the self-contained file and say so; None for a run without frames or resumed."""
        if self._finished is None:
            self._finished = self._finish_folder()
        return self._finished if self.broker.finish(self.lease, self.state.run) else None

    def _finish_folder(self) -> Path | None:
        if self._folder is None and self.on_disk:
            # an earlier writer, or an earlier part of the run, put all the rows on disk
            found = survey(self.out, self.state.run)
            assert found.contents is not None
            if found.main is not None and found.contents.sealed:
                return found.main.path
            self._recover(found.contents.header)
        if self._folder is None:
            return None
        return self._folder.finish(
            sealed=not self.state.interrupted,
            interrupted=self.state.interrupted,
            dropped=self.state.dropped,
        )

    def goes_on_with(self, state: RunState) -> bool:
        """Whether this is a later state of the run in hand, which has not been resumed since.

        Behind the file is a server that went back, and that nothing in flight may tell how far.
        """
        same = bool(state.file) and state.run_id == self.state.run_id
        behind = min(state.next_index, state.watermark) < self.on_disk
        return same and not behind and (self._finished is None or state.sealed is not None)

    def refresh(self, *, force: bool = False) -> None:
        """Let the main file follow."""
        if self._folder is not None:
            self._folder.refresh(force)

    def sweep(self, *, at_once: bool = False) -> bool:
        """Remove replaced files whose grace is over, or all of them; whether none is left."""
        if self._folder is None:
            return True
        if at_once:
            self._folder.grace_s = 0.0
        return self._folder.sweep() == 0


def answer_of(entry: ResultEntry) -> ResultBlock:
    """The result of an entry; BadMessage where it is of other frames than the entry says."""
    result = decode(entry.payload, ResultBlock)
    if (result.run, result.first, result.n_frames) != (entry.run, entry.first, entry.n_frames):
        raise BadMessage(f"run {entry.run!r}: a result of other frames stands at {entry.first}")
    return result
