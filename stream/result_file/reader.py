"""A run's result file, read while it grows or after it is finished."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from stream.result_file.average import Average
from stream.result_file.column import Column, SiteTable
from stream.result_file.header import Model, RunHeader
from stream.result_file.segment import (
    Contents,
    Segment,
    parse_state,
    require_known_format,
)
from stream.result_file.soundness import (
    require_own_columns,
    require_own_state,
    require_own_values,
)
from xas.errors import BadResultFile
from xas.structure import EMPTY, StructureBatch

_T = TypeVar("_T")
_S = TypeVar("_S", bound=np.generic)
_NOT_OURS = (
    *(OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError),
    RecursionError,
)
_TRIES = 5  # a writer replaces the main file at most once a second, and keeps what it named


class RunFile:
    """Open a result file: ``edgestream.open_run(path)``.

    Shows the frames that were there when it was opened or last refreshed; rows never change, so
    what is read later agrees with it, also after the writer has replaced the files underneath.
    BadResultFile where the file is missing or not one of ours, or its segments are gone.
    Not for two threads at once.

    energy                (n_energy,) float64, eV
    intensity, errors     (n_frames, n_energy) float32, read when sliced; NaN where dead-lettered
    frame_index, times, status, novelty, edge_step, model_index, t_pushed, t_predicted
                          (n_frames,), read when asked for
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._file: Any = None
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return self.n_frames

    def __repr__(self) -> str:
        how = "finished" if self.finished else "growing"
        return f"<RunFile {self.path}: {self.n_frames} frames, {how}>"

    def close(self) -> None:
        """Close the file; arrays that were read stay valid."""
        self._file.close()

    def refresh(self) -> Self:
        """Show what is there now."""
        self.close()
        self._open()
        return self

    @property
    def header(self) -> RunHeader:
        """Names and energies."""
        return self._contents.header

    @property
    def energy(self) -> NDArray[np.float64]:
        """(n_energy,) float64, eV."""
        return self.header.energy

    @property
    def n_frames(self) -> int:
        """Frames with a row or a tombstone."""
        return self._whole.end

    @property
    def n_atoms(self) -> int:
        """Atoms in the structures of all frames; 0 where none were kept."""
        return self._whole.atoms

    @property
    def n_sites(self) -> int:
        """Absorbers in all frames."""
        return self._whole.sites

    @property
    def finished(self) -> bool:
        """Whether the file is self-contained: the run ended, or was interrupted."""
        return self._contents.kind == "finished"

    @property
    def interrupted(self) -> bool:
        """Whether the run was stopped before its producer sealed it; it may be resumed."""
        return self._contents.interrupted

    @property
    def sealed(self) -> bool:
        """Whether the producer sealed the run and all its frames are here."""
        return self._contents.sealed

    @property
    def dropped(self) -> int:
        """Frames that the producer dropped before numbering; known once the run has ended."""
        return self._contents.dropped

    @property
    def models(self) -> list[Model]:
        """The models that predicted it; ``model_index`` counts in this list."""
        return self._contents.models

    @property
    def average(self) -> Average:
        """The mean over frames with its error, as of the last refresh."""
        return self._average

    @property
    def intensity(self) -> Column:
        """(n_frames, n_energy) float32: mean over the absorbers of a frame."""
        return self._column("intensity", self.n_frames)

    @property
    def errors(self) -> Column:
        """(n_frames, n_energy) float32: one standard deviation of the prediction."""
        return self._column("intensity_errors", self.n_frames)

    def normalised(self) -> Column:
        """(n_frames, n_energy) float32: intensity divided by the edge step."""
        return self._column("intensity_normalised", self.n_frames)

    @property
    def frame_index(self) -> NDArray[np.int64]:
        """(n_frames,) int64."""
        return self._vector("frame_index", np.int64)

    @property
    def times(self) -> NDArray[np.float64]:
        """(n_frames,) float64, in ``header.time_units``."""
        return self._vector("frame_time", np.float64)

    @property
    def status(self) -> NDArray[np.uint8]:
        """(n_frames,) uint8: 1 predicted, 2 dead-lettered."""
        return self._vector("status", np.uint8)

    @property
    def novelty(self) -> NDArray[np.float32]:
        """(n_frames,) float32: how far outside the training data."""
        return self._vector("novelty", np.float32)

    @property
    def edge_step(self) -> NDArray[np.float32]:
        """(n_frames,) float32, on the scale of intensity."""
        return self._vector("edge_step", np.float32)

    @property
    def model_index(self) -> NDArray[np.int16]:
        """(n_frames,) int16, into ``models``; -1 where dead-lettered."""
        return self._vector("model_index", np.int16)

    @property
    def t_pushed(self) -> NDArray[np.float64]:
        """(n_frames,) float64, Unix seconds."""
        return self._vector("t_pushed", np.float64)

    @property
    def t_predicted(self) -> NDArray[np.float64]:
        """(n_frames,) float64, Unix seconds."""
        return self._vector("t_predicted", np.float64)

    @property
    def sites(self) -> SiteTable:
        """One row an absorber, ordered by frame."""
        n = self._whole.sites
        return SiteTable(
            frame=self._vector("sites/frame_index", np.int64, n),
            atom=self._vector("sites/atom_index", np.int32, n),
            intensity=self._column("sites/intensity", n),
            errors=self._column("sites/intensity_errors", n),
        )

    @property
    def dead_letters(self) -> list[tuple[int, str]]:
        """(frame, why it has no spectrum), in order."""
        n = self._whole.dead
        if n == 0:
            return []
        frames = self._vector("dead_letters/frame_index", np.int64, n).tolist()
        reasons = self._vector("dead_letters/reason", np.bytes_, n).tolist()
        return [(f, r.decode(errors="replace")) for f, r in zip(frames, reasons, strict=True)]

    def structures(self, part: slice = slice(None)) -> StructureBatch:
        """The structures of frames part.start to part.stop; BadResultFile where none were kept."""
        if not self.header.keep_structures:
            raise BadResultFile(f"{self.path} was written without structures")
        first, end, step = part.indices(self.n_frames)
        if step != 1:
            raise ValueError("only contiguous parts of the structures can be read")
        if end <= first:
            return EMPTY
        return self.guarded(lambda file: _structures(file["entry/structures"], first, end))

    def guarded(self, read: Callable[[Any], _T]) -> _T:
        """What ``read`` makes of the open file, with every segment in place while it read."""
        for _ in range(_TRIES):
            found = _tried(read, self._file)
            # Names of segments never come back: what is here now was here all the time.
            if all(path.exists() for path in self._sources):
                if found[1] is not None:
                    raise BadResultFile(f"{self.path} is damaged: {found[1]}") from found[1]
                return found[0]
            self._reopen()
        raise BadResultFile(
            f"{self.path} grows, and segments beside it are missing; "
            "if it was copied, copy its .segments folder too"
        )

    def column(self, name: str, rows: int | None = None) -> Column:
        """A column by its name in the file, with a row a frame or so many; read when sliced."""
        return self._column(name, self.n_frames if rows is None else rows)

    def _column(self, name: str, rows: int) -> Column:
        return Column(self.guarded, f"entry/{name}", rows)

    def _vector(self, name: str, kind: type[_S], rows: int | None = None) -> NDArray[_S]:
        column = self._column(name, self.n_frames if rows is None else rows)
        return np.asarray(column[:], dtype=kind)

    def _open(self) -> None:
        """Open the file and show what is in it."""
        self._reopen()
        self._whole, self._contents, self._average = self._known

    def _reopen(self) -> None:
        """Open the file that is there now, without showing more frames."""
        if self._file is not None:
            self._file.close()
        try:
            self._file = _open_without_lock(self.path)
            self._known, self._sources = _looked_into(self._file, self.path)
        except FileNotFoundError as error:
            raise BadResultFile(f"{self.path}: no such file") from error
        except _NOT_OURS as error:
            raise BadResultFile(f"{self.path} is not a result file of edgestream") from error


def _open_without_lock(path: Path) -> Any:
    """Read-only and without a lock, unless this process has it open with one already."""
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        if "locking" not in str(error):
            raise
        return h5py.File(path, "r")


def sources_of(file: Any, folder: Path) -> list[Path]:
    """The segments that a growing file names."""
    status = file["entry/status"]
    if not status.is_virtual:
        return []
    return [folder / source.file_name.replace("%%", "%") for source in status.virtual_sources()]


Known = tuple[Segment, Contents, Average]


def _looked_into(file: Any, path: Path) -> tuple[Known, list[Path]]:
    """What the file says, where all of it is sound, and the segments that it names."""
    size = path.stat().st_size
    require_own_state(file, size)
    require_known_format(file, path)
    require_own_values(file, size)
    segment, contents = parse_state(file, path)
    folder = path.resolve().parent
    require_own_columns(file, segment, contents.header, folder)
    average = read_average(file["entry/average"])
    return (segment, contents, average), sources_of(file, folder)


def _tried(read: Callable[[Any], _T], file: Any) -> tuple[_T, None] | tuple[None, Exception]:
    """What ``read`` makes of the file, or how the library failed at it."""
    try:
        return read(file), None
    except (OSError, RuntimeError, KeyError) as error:
        return None, error


def read_average(group: Any) -> Average:
    """The average as it is in a main file."""
    return Average(
        energy=group["energy"][()],
        intensity=group["intensity"][()],
        errors=group["intensity_errors"][()],
        spread=group["spread"][()],
        standard_error=group["standard_error"][()],
        model_error=group["model_error"][()],
        n=int(group["n"][()]),
    )


def _structures(group: Any, first: int, end: int) -> StructureBatch:
    bounds = group["offsets"][first : end + 1]
    atoms = slice(bounds[0], bounds[-1])
    cells, pbc = group["cell"][first:end], group["pbc"][first:end]
    has_cell = bool(cells.any() or pbc.any())
    return StructureBatch.from_arrays(
        group["numbers"][atoms],
        group["positions"][atoms],
        bounds - bounds[0],
        cells if has_cell else None,
        pbc if has_cell else None,
    )
