"""Predicting a suspicious frame in a child process, whose death is only the frame's.

The child reads blocks of one frame from standard input and writes results to standard output, each
as four bytes of length (little-endian) and a message. It is started with subprocess, never forked
from a process that holds sessions or threads.
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO

import numpy as np

from stream.broker import Entry
from stream.codec import decode, encode
from stream.messages import FrameBlock, ResultBlock
from workers.batcher import Job
from workers.outcome import Failure, Outcome
from xas.errors import BadMessage
from xas.structure import Sites

BEAT_S = 1.0


class ChildFailed(Exception):
    """The child died or fell silent over a frame."""


class IsolatedPredictor:
    """Runs ``command`` as the child, starts it again after each death, ends it on ``close``."""

    def __init__(self, command: Sequence[str], *, timeout_s: float = 60.0) -> None:
        self._command, self._timeout_s = list(command), timeout_s
        self._child: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[bytes] = queue.Queue()

    def predict(self, job: Job, beat: Callable[[], None] = lambda: None) -> Outcome:
        """The outcome of a job of one frame; ChildFailed where the child did not survive it.

        ``beat`` is called before, and every second while it waits. What it raises ends the child:
        the answer that nobody waited for would be taken for that of the next frame.
        """
        beat()
        child = self._running()
        assert child.stdin is not None
        try:
            write_message(child.stdin, encode(job.block))
        except OSError as error:
            raise self._failed(f"the child process broke off: {error}") from None
        try:
            answer = self._answer(beat)
        except BaseException:
            self._end(kill=True)
            raise
        if not answer:
            raise self._failed("the child process died")
        try:
            return _outcome(decode(answer, ResultBlock))
        except BadMessage as error:
            raise self._failed(f"the child process answered nonsense: {error}") from None

    def _answer(self, beat: Callable[[], None]) -> bytes:
        end = time.monotonic() + self._timeout_s
        while (left := end - time.monotonic()) > 0:
            try:
                return self._answers.get(timeout=min(left, BEAT_S))
            except queue.Empty:
                beat()
        raise self._failed(f"no answer within {self._timeout_s:g} s")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            self._answers = queue.Queue()
            self._child = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert self._child.stdout is not None
            reader = threading.Thread(
                target=_pump, args=(self._child.stdout, self._answers), daemon=True
            )
            reader.start()
        return self._child

    def _failed(self, what: str) -> ChildFailed:
        code = self._end(kill=True)
        return ChildFailed(f"{what} (exit status {code})")

    def close(self) -> None:
        """End the child."""
        self._end(kill=False)

    def _end(self, *, kill: bool) -> int | None:
        child, self._child = self._child, None
        if child is None:
            return None
        assert child.stdin is not None
        assert child.stdout is not None
        with contextlib.suppress(OSError):
            child.stdin.close()
        if kill:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=1.0)  # one that died by itself keeps its own exit status
            child.kill()
        return child.wait()


def _pump(pipe: IO[bytes], answers: queue.Queue[bytes]) -> None:
    with pipe:
        while message := read_message(pipe):
            answers.put(message)
    answers.put(b"")


def write_message(pipe: IO[bytes], message: bytes) -> None:
    """Write one message with its length."""
    pipe.write(len(message).to_bytes(4, "little") + message)
    pipe.flush()


def read_message(pipe: IO[bytes]) -> bytes:
    """The next message; empty at the end of the pipe, also in the middle of a message."""
    head = pipe.read(4)
    size = int.from_bytes(head, "little") if len(head) == 4 else 0
    message = pipe.read(size)
    return message if len(message) == size else b""


def serve_isolated(
    predict: Callable[[Job], Outcome], requests: IO[bytes], answers: IO[bytes]
) -> None:
    """The child's loop: one frame in, one result out, until the parent closes the pipe."""
    while message := read_message(requests):
        block = decode(message, FrameBlock)
        entry = Entry(
            stream="", id="", run=block.run, first=block.first, n_frames=1, payload=message
        )
        outcome = predict(Job.of(entry))
        result = outcome.result(block.run, block.first, np.array([block.t_pushed]), 0.0)
        write_message(answers, encode(result))


def _outcome(result: ResultBlock) -> Outcome:
    frame = result.site_frame.view("<i4", -1).astype(np.int64)
    rows = len(frame)
    return Outcome(
        n_frames=result.n_frames,
        model=result.model,
        sites=Sites(frame, result.site_atom.view("<i4", rows).astype(np.int64)),
        intensity=result.intensity.view("<f4", rows, -1),
        errors=result.errors.view("<f4", rows, -1),
        novelty=result.novelty.view("<f4", rows),
        failures={i: Failure(why, "BadStructure") for i, why in result.reasons.items()},
    )
