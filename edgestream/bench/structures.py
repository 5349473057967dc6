"""What is measured on: real data where they are at hand, else what ships or is made from a seed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from edgestream.demo_command import demo_trajectory
from stream.sources.frames import FrameChunk
from stream.sources.trajectory import open_trajectory
from xas.structure import StructureBatch

TRAJECTORY = Path("trajectories") / "fe_complex_69_atoms_300K.xyz"


def data_folder() -> Path | None:
    """The project's real data: $EDGESTREAM_DATA, or ``shared/data`` beside the checkout."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("EDGESTREAM_DATA", beside))
    return folder if (folder / "README.md").is_file() else None


@dataclass(frozen=True, kw_only=True)
class Movie:
    """A trajectory as a reader hands it out, to be repeated; ``name`` says which."""

    name: str
    path: Path
    chunks: list[FrameChunk]

    @property
    def structures(self) -> StructureBatch:
        """Its frames once."""
        return StructureBatch.concatenate([chunk.structures for chunk in self.chunks])

    def repeated(self, n_frames: int) -> list[StructureBatch]:
        """Its chunks over and over, n frames in all; views, whatever n is."""
        parts, left = [], n_frames
        for chunk in islice(cycle(self.chunks), n_frames):
            parts.append(chunk.structures[: min(left, len(chunk))])
            left -= len(parts[-1])
            if not left:
                break
        return parts


def movie() -> Movie:
    """1,006 frames of an Fe complex of 69 atoms at 300 K; without the data, the demo's 17 atoms."""
    folder = data_folder()
    path = demo_trajectory() if folder is None else folder / TRAJECTORY
    with open_trajectory(path) as source:
        chunks = list(source)
    n_atoms = chunks[0].structures[:1].n_atoms
    which = "shipped demo" if folder is None else "real data"
    name = f"{path.name} ({which}; {n_atoms} atoms a frame)"
    return Movie(name=name, path=path, chunks=chunks)
