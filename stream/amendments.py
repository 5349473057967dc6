"""Answers to requeued frames, on their way into the finished files.

An answer is first put on disk beside the run (``RUN.answers``) and only then released by the
server. It stays there: the file is amended from it as often as it takes, so that it does not matter
when who is killed, and an answer to a frame that has a row already changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from stream.broker import Lease, ResultEntry, WriterBroker
from stream.codec import decode
from stream.dead_letters import ANSWERS, Answered, RunLetters, predicted_frames
from stream.log import Words
from stream.messages import DEAD_LETTERED, ModelRecord, ResultBlock
from stream.result_file import Rows
from stream.result_file.amended import amend, status_of
from stream.result_file.header import Model, RunHeader
from stream.result_file.segment import read_state
from stream.result_file.survey import main_path
from stream.result_rows import UsedModel, rows_of
from stream.run_writer import answer_of
from stream.service import say
from xas.errors import BadMessage, BadResultFile

BYTES_AT_ONCE = 64 << 20  # of answers in one amendment
REST = 10  # times as long as an amendment took, the next one waits for more answers
_BAD_FILE = (OSError, KeyError, TypeError, ValueError, BadResultFile)


class Amendments:
    """The answers of one writer's folder; for its thread alone."""

    def __init__(self, broker: WriterBroker, out: Path, clock: Callable[[], float]) -> None:
        self._broker, self._out, self._clock = broker, out, clock
        # whoever was killed may have left some undone
        self._open = {path.name.removesuffix(ANSWERS) for path in out.glob("*" + ANSWERS)}
        self._waiting: dict[str, ResultEntry] = {}
        self._next = 0.0

    @property
    def idle(self) -> bool:
        """Whether every answer is where it belongs, or waits for the end of its run."""
        return not self._open and not self._waiting

    def offer(self, entry: ResultEntry) -> None:
        """Take an answer in hand; one that is in hand already changes nothing."""
        self._waiting[entry.id] = entry

    def commit(self, lease: Lease, growing: Collection[str]) -> None:
        """Make the answers in hand durable, release them, and amend files where it is time.

        ``growing``: the runs that are being written; theirs are amended when they have ended.
        """
        for run in sorted({entry.run for entry in self._waiting.values()}):
            self._take(lease, run, grows=run in growing)
        if self._open and self._clock() >= self._next:
            self._amend_all(lease, growing)

    def _take(self, lease: Lease, run: str, *, grows: bool) -> None:
        entries = [entry for entry in self._waiting.values() if entry.run == run]
        if grows or main_path(self._out, run).exists():
            self._keep(lease, run, entries)
        else:
            line = f"run {run!r} is not in {self._out}: its requeued frames change nothing"
            say(Words(line, run=run))
        self._broker.settle(lease, entries)
        for entry in entries:
            del self._waiting[entry.id]

    def _keep(self, lease: Lease, run: str, entries: Sequence[ResultEntry]) -> None:
        kept = RunLetters(self._out, run)
        if letters := [letter for entry in entries for letter in entry.letters]:
            kept.append(letters)
        answers = [a for entry in entries if (a := self._answer(lease, entry)) is not None]
        if answers:
            kept.answer(answers)
            self._open.add(run)

    def _answer(self, lease: Lease, entry: ResultEntry) -> Answered | None:
        """The answer, where it has spectra that belong into the run's file."""
        try:
            result = answer_of(entry)
            packed = self._broker.model(lease, result.model) if result.model else None
            if packed is None or not predicted_frames(result):
                return None
            record = decode(packed, ModelRecord)
            _ = record.energies  # looked at here, and not when they are written
            header = _header(main_path(self._out, entry.run))
            if header is None or _fits(record, header):
                return Answered(result=entry.payload, frames=list(entry.frames), model=packed)
            reason = f"{record.name} predicts {record.element} {record.edge}-edges"
        except BadMessage as error:
            reason = str(error)
        line = f"run {entry.run!r}: frame {entry.first} stays a dead letter: {reason}"
        say(Words(line, run=entry.run, index=entry.first))
        return None

    def ended(self, run: str) -> None:
        """The file of a run is finished: what was answered while it grew belongs there."""
        if RunLetters(self._out, run).answers_path.exists():
            self._open.add(run)

    def _amend_all(self, lease: Lease, growing: Collection[str]) -> None:
        started = self._clock()
        for run in sorted(self._open.difference(growing)):
            try:
                self._amend(lease, run)
            except _BAD_FILE as error:
                line = f"run {run!r}: its requeued frames wait for its file: {error}"
                say(Words(line, run=run))
        self._open.intersection_update(growing)
        self._next = self._clock() + REST * max(0.0, self._clock() - started)

    def _amend(self, lease: Lease, run: str) -> None:
        path = main_path(self._out, run)
        if not path.exists():
            return
        contents = read_state(path)[1]
        if contents.kind != "finished":
            return
        for batch in _batches(RunLetters(self._out, run)):
            dead = set(np.flatnonzero(status_of(path) == DEAD_LETTERED).tolist())
            rows, header, models = _rows(batch, dead, read_state(path)[1].header, path)
            if rows:
                amend(self._out, run, rows, header, models, check=lambda: self._broker.renew(lease))
                line = f"run {run!r}: {len(rows)} dead letters have a spectrum now, in {path}"
                say(Words(line, run=run))
        if contents.sealed:
            n_dead = int((status_of(path) == DEAD_LETTERED).sum())
            self._broker.count_dead(lease, run, n_dead)


Answer = tuple[Answered, ResultBlock]


def _header(path: Path) -> RunHeader | None:
    """That of the file as it is, growing or finished."""
    try:
        return read_state(path)[1].header
    except _BAD_FILE:
        return None


def _batches(letters: RunLetters) -> Iterator[list[Answer]]:
    batch: list[Answer] = []
    for answer in letters.answers():
        batch.append(answer)
        if sum(len(a.result) for a, _ in batch) > BYTES_AT_ONCE:
            yield batch
            batch = []
    yield batch


def _rows(
    batch: list[Answer], dead: set[int], header: RunHeader, path: Path
) -> tuple[list[Rows], RunHeader, list[Model]]:
    """Rows for those of the dead frames that were answered, by index; the first answer counts."""
    models = list(read_state(path)[1].models)
    found: dict[int, Rows] = {}
    for answered, result in batch:
        wanted = [i for i in predicted_frames(result) if i in dead and i not in found]
        record = decode(answered.model, ModelRecord)
        if not wanted or not _fits(record, header):
            continue
        header = _with_energies(header, record)
        index = _index_of(record, models, wanted[0])
        models_used = {result.model: UsedModel.of(index, record)}
        try:
            rows = rows_of(
                [(result, answered.frames)],
                header.energy,
                models_used,
                keep_structures=header.keep_structures,
            )
        except BadMessage as error:
            line = f"{path}: an answer to frame {result.first} is none: {error}"
            say(Words(line, run=result.run, index=result.first))
            continue
        found |= {i: rows[i - result.first : i - result.first + 1] for i in wanted}
    return [found[i] for i in sorted(found)], header, models


def _fits(record: ModelRecord, header: RunHeader) -> bool:
    return not header.element or (record.element, record.edge) == (header.element, header.edge)


def _with_energies(header: RunHeader, record: ModelRecord) -> RunHeader:
    """A run of which no frame was predicted gets the energies of its first answer."""
    if header.n_energy:
        return header
    return replace(
        header,
        element=record.element,
        edge=record.edge,
        energy=record.energies.copy(),
        descriptor=record.descriptor,
        provider=record.provider,
    )


def _index_of(record: ModelRecord, models: list[Model], frame: int) -> int:
    """The model's place among those of the run, which may be the last, and new."""
    new = Model(
        name=record.name, version=str(record.version), sha256=record.sha256, first_frame=frame
    )
    for index, known in enumerate(models):
        if known.is_same(new):
            first = min(frame, known.first_frame) if known.first_frame >= 0 else frame
            models[index] = replace(known, first_frame=first)
            return index
    models.append(new)
    return len(models) - 1
