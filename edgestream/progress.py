"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from stream.log import speaks_json
from stream.service import say

PLAIN_INTERVAL_S = 5.0


class Progress(Protocol):
    """Told how far the work is; ``total`` None where nobody knows."""

    def update(self, done: int, total: int | None, note: str = "") -> None:
        """So many are done."""

    def tell(self, line: str) -> None:
        """Say something between."""


@contextmanager
def show_progress(what: str, *, quiet: bool = False) -> Iterator[Progress]:
    """A progress display on standard error for the time of the block."""
    if quiet:
        yield Silent()
    elif sys.stderr.isatty() and not speaks_json():
        with _bar(what) as bar:
            yield bar
    else:
        yield PlainLines(what)


class Silent:
    """Shows no progress, but passes on what must be said."""

    def update(self, done: int, total: int | None, note: str = "") -> None:
        """Nothing."""

    def tell(self, line: str) -> None:
        """See Progress."""
        say(line)


class PlainLines(Silent):
    """A line now and then, for logs."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._rate = Rate()
        self._next = time.monotonic() + PLAIN_INTERVAL_S

    def update(self, done: int, total: int | None, note: str = "") -> None:
        """See Progress."""
        self._rate.update(done)
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PLAIN_INTERVAL_S
        of = f" of {total}" if total else ""
        end = f", {note}" if note else ""
        self.tell(f"{self._what}: {done}{of}, {self._rate.per_second:.0f}/s{end}")


class Rate:
    """How fast a count grows, over the last few seconds."""

    def __init__(self) -> None:
        self._marks = [(time.monotonic(), 0)]

    def update(self, done: int) -> None:
        """The count now."""
        now = time.monotonic()
        if now - self._marks[-1][0] > 0.2:
            self._marks = [*self._marks[-24:], (now, done)]

    @property
    def per_second(self) -> float:
        """Of late."""
        (t0, n0), (t1, n1) = self._marks[0], self._marks[-1]
        return (n1 - n0) / (t1 - t0) if t1 > t0 else 0.0


@contextmanager
def _bar(what: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f}/s"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=None, rate=0.0, note="")
        rate = Rate()

        class Bar:
            def update(self, done: int, total: int | None, note: str = "") -> None:
                rate.update(done)
                shown.update(task, completed=done, total=total, note=note, rate=rate.per_second)

            def tell(self, line: str) -> None:
                shown.console.print(line, markup=False, highlight=False)

        yield Bar()
