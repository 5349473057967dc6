"""Is a result file what was written, with no gap and no double?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from stream.result_file.average import Average, RunningAverage
from stream.result_file.consistency import Consistency
from stream.result_file.datasets import reading
from stream.result_file.layout import columns
from stream.result_file.raw import used_rows
from stream.result_file.segment import parse_name
from stream.result_file.snapshot import NOT_OURS, Part, Snapshot
from xas.errors import BadResultFile

Told = Callable[[int, int], None]  # frames done, frames in all


def _to_nobody(done: int, total: int) -> None:
    del done, total


_MOST_FAULTS = 200
_TOLERANCE = 1e-6  # of an average: sums in another order


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What ``verify`` found; ``faults`` is empty where all is well, one line each.

    checked_frames: those that have checksums; files of before have none.
    """

    file: str
    state: str  # growing, finished, interrupted or unreadable
    frames: int = 0
    sites: int = 0
    dead_letters: int = 0
    checked_frames: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether there is no fault."""
        return not self.faults


class Faults:
    """Lines about faults; those of neighbouring frames become one."""

    def __init__(self) -> None:
        self._ranges: list[tuple[str, list[int]]] = []
        self._last: dict[str, list[int]] = {}
        self._more = 0

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def add(self, what: str, first: int = -1, end: int = -1) -> None:
        """Frames first:end have a fault; without them it is one of the file."""
        last = self._last.get(what)
        if last is not None and last[1] == first:
            last[1] = end
        elif len(self._ranges) < _MOST_FAULTS:
            self._last[what] = [first, end]
            self._ranges.append((what, self._last[what]))
        else:
            self._more += 1

    def lines(self) -> list[str]:
        """One a fault, in the order in which they were found."""
        found = [f"{_frames(*where)}{what}" for what, where in self._ranges]
        return [*found, f"and {self._more} more"] if self._more else found


def _frames(first: int, end: int) -> str:
    if first < 0:
        return ""
    return f"frame {first}: " if end - first == 1 else f"frames {first}-{end - 1}: "


def verify(path: Path, told: Told = _to_nobody) -> Verdict:
    """Read a growing or finished run once, from begin to end, in bounded memory.

    Every stretch of rows against its checksums; indices without gap or double; status, sites, dead
    letters and structures against each other; the average against the mean of the rows; the models.
    BadResultFile where there is no such file; any other trouble is a fault.
    """
    if path.is_dir():
        raise BadResultFile(f"{path} is a folder; give its files: {path / '*.h5'}")
    if not path.is_file():
        raise BadResultFile(f"{path}: no such file")
    try:
        found = Snapshot.take(path)
    except BadResultFile as error:
        return Verdict(file=str(path), state="unreadable", faults=[str(error)])
    with found:
        return _Verification(found, told).verdict()


class _Verification:
    def __init__(self, found: Snapshot, told: Told) -> None:
        self.found, self.told = found, told
        self.faults = Faults()
        self.mean = RunningAverage(found.contents.header.energy)
        self.rows = Consistency(found.contents, self.faults.add)
        self.checked = 0

    def verdict(self) -> Verdict:
        found = self.found
        self._check_chain()
        self._check_mapping()
        self._check_header()
        for part in found.parts:
            self._check_part(part)
        whole_was_read = not self.faults
        self.rows.check_end(found.whole.end)
        if whole_was_read:
            self._check_average(found.average, self.mean.average())
        kind = "interrupted" if found.contents.interrupted else found.contents.kind
        return Verdict(
            file=str(found.path),
            state=kind,
            frames=found.whole.end,
            sites=found.whole.sites,
            dead_letters=found.whole.dead,
            checked_frames=self.checked,
            faults=self.faults.lines(),
        )

    def _check_chain(self) -> None:
        """The segments follow each other, and are together what the main file says."""
        for name, why in self.found.broken:
            known = parse_name(name)
            self.faults.add(f"segment {name} {why}", *(known[2:] if known else ()))
        if self.found.broken:
            return
        at = atom = 0
        for part in self.found.parts:
            if (part.segment.first, part.segment.first_atom) != (at, atom):
                self.faults.add(f"{part.name} does not follow the rows before it", at, at + 1)
            at, atom = part.segment.end, part.segment.end_atom
        for axis in ("end", "sites", "atoms", "dead"):
            said = getattr(self.found.whole, axis)
            there = at if axis == "end" else sum(getattr(p.segment, axis) for p in self.found.parts)
            if said != there:
                self.faults.add(f"the main file says {said} {axis}, its segments have {there}")

    def _check_mapping(self) -> None:
        """The virtual datasets of a growing file show the rows of the segments in order."""
        header, parts = self.found.contents.header, self.found.parts
        if self.found.contents.kind == "finished" or self.found.broken:
            return
        with reading(self.found.pinned) as file:
            for column in columns(header.keep_structures):
                used = [used_rows(column, p.segment, p is parts[-1]) for p in parts]
                begins = np.cumsum([0, *used])[:-1].tolist()
                wanted = [(p.name, b) for p, b, n in zip(parts, begins, used, strict=True) if n]
                if column.path in file and file[column.path].is_virtual:
                    shown = _shown(file[column.path])
                    if shown != wanted:
                        self.faults.add(f"{column.path} does not show the rows of the segments")

    def _check_header(self) -> None:
        """What the file says twice it says alike."""
        contents, state = self.found.contents, self.found.state
        known = state.get("energy_xxh3")
        if known is not None and xxh3_64_intdigest(contents.header.energy.tobytes()) != known:
            self.faults.add("the energies do not match their checksum")
        with reading(self.found.pinned) as file:
            for word in ("name", "version", "sha256", "first_frame"):
                shown = [_plain(value) for value in file[f"entry/models/{word}"][()]]
                if shown != [getattr(model, word) for model in contents.models]:
                    self.faults.add(f"models/{word} is not what the writer noted")
            if _plain(file["entry/run_id"][()]) != contents.header.run:
                self.faults.add("run_id is not the run that the writer noted")
        if not np.array_equal(self.found.average.energy, contents.header.energy):
            self.faults.add("average/energy differs from energy")

    def _check_part(self, part: Part) -> None:
        segment = part.segment
        try:
            for stretch in part.stretches():
                low, high = stretch.rows["frame"]
                first, end = segment.first + low, segment.first + high
                values = part.read(stretch)
                damaged = part.damaged(stretch, values)
                if part.segment.one_site_each:  # stored once, under two names
                    damaged = [path for path in damaged if path not in _TWINS]
                for path in damaged:
                    name = path.removeprefix("entry/")
                    self.faults.add(f"{name} does not match its checksum ({part.name})", first, end)
                if not damaged:
                    self.checked += high - low if stretch.sums is not None else 0
                    self.rows.check(values, first, end, segment)
                    self.mean.add(*(values[path] for path in _AVERAGED))
                self.told(end, self.found.whole.end)
        except NOT_OURS as error:
            self.faults.add(f"{part.name} cannot be read: {error}", segment.first, segment.end)

    def _check_average(self, said: Average, found: Average) -> None:
        if said.n != found.n:
            self.faults.add(f"the average is of {said.n} frames, not {found.n}")
            return
        for name, (values, _) in said.named().items():
            if not _is_close(values, found.named()[name][0]):
                self.faults.add(f"average/{name} is not that of the rows")


_TWINS = ("entry/sites/intensity", "entry/sites/intensity_errors")
_AVERAGED = ("entry/status", "entry/intensity", "entry/intensity_errors")


def _is_close(said: NDArray[np.float64], found: NDArray[np.float64]) -> bool:
    scale = np.nanmax(np.abs(found), initial=0.0)
    return np.allclose(said, found, rtol=_TOLERANCE, atol=_TOLERANCE * scale, equal_nan=True)


def _shown(dataset: Any) -> list[tuple[str, int]]:
    """Names of source files and the rows where they begin, in order."""
    pieces = [
        (source.vspace.get_select_bounds()[0][0], source.file_name)
        for source in dataset.virtual_sources()
    ]
    return [(Path(name.replace("%%", "%")).name, int(begin)) for begin, name in sorted(pieces)]


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else getattr(value, "item", lambda: value)()
