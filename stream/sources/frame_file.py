"""A file of frames at random access."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar

from stream.sources.frames import ParsedFrame, Selection
from xas.errors import BadTrajectory

Read = TypeVar("Read")


class FrameFile:
    """How many frames a file has, and each of them.

    n_frames    as many as the file promises
    n_complete  those that are all there; reading one behind them raises BadTrajectory
    """

    def __init__(
        self,
        name: str,
        n_frames: int,
        read: Callable[[int], ParsedFrame],
        *,
        n_complete: int | None = None,
    ) -> None:
        self.name = name
        self.n_frames = n_frames
        self.n_complete = n_frames if n_complete is None else n_complete
        self._read = read

    def frames(self, selection: Selection) -> Iterator[ParsedFrame]:
        """Yield the selected frames; the first unreadable one raises BadTrajectory."""
        for index in selection.indices(self.n_frames):
            try:
                frame = self.read(index)
            except Exception as error:  # noqa: BLE001 - the libraries raise anything on bad bytes
                raise BadTrajectory(
                    f"{self.name} ends in the middle of frame {index}, or is damaged there"
                    f" ({in_one_line(error)}): {index} complete frames were kept"
                ) from None
            yield frame

    def read(self, index: int) -> ParsedFrame:
        """Read one frame; any exception where that does not work."""
        if index >= self.n_complete:
            raise EOFError(f"{self.n_complete} of {self.n_frames} frames are complete")
        return self._read(index)


def quietly(read: Callable[[int], Read]) -> Callable[[int], Read]:
    """Read without the warnings of a library."""

    def read_quietly(index: int) -> Read:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read(index)

    return read_quietly


def in_one_line(error: BaseException) -> str:
    """Say what went wrong in a library, fit for a message."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
