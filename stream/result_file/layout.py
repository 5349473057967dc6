"""The layout of a result file: every path, type and attribute.

/entry (NXentry)
  energy, and the columns below
  element, edge, sample, process (NXprocess), models, dropped
  spectra (NXdata, links)   average (NXdata)   sites/   structures/   dead_letters/   checksums/
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from stream.result_file.average import Average
from stream.result_file.datasets import LINKS, has, note, put, put_value, text
from stream.result_file.header import Model, RunHeader
from stream.result_file.rows import Rows

FORMAT = 1
STATE = "entry/process/state"  # JSON: what recovery needs, see segment.py
ENERGY = "entry/energy"
REASON_BYTES = 500

Axis = Literal["frame", "bound", "site", "atom", "dead", "stretch"]


@dataclass(frozen=True, slots=True)
class Column:
    """A dataset with one row a frame, site, atom, dead letter, stretch, or bound (frames + 1).

    tail holds the lengths of the further axes; "energy" stands for the energies of the run.
    twin: the column of frames that has the same rows where every frame has one site.
    """

    path: str
    dtype: np.dtype[Any]
    axis: Axis
    tail: tuple[int | Literal["energy"], ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    twin: str = ""

    def shape(self, rows: int, n_energy: int) -> tuple[int, ...]:
        """Lengths of all axes."""
        return (rows, *(n_energy if length == "energy" else length for length in self.tail))

    def row_bytes(self, n_energy: int) -> int:
        """Bytes of one row."""
        return self.dtype.itemsize * math.prod(self.shape(1, n_energy))


def _column(path: str, dtype: str, axis: Axis, *tail: Any, **attributes: str) -> Column:
    return Column("entry/" + path, np.dtype(dtype), axis, tail, attributes)


_SPECTRUM: dict[str, str] = {"interpretation": "spectrum", "units": "arbitrary"}


def _spectra_of_sites(name: str) -> Column:
    column = _column(f"sites/{name}", "<f4", "site", "energy", **_SPECTRUM)
    return replace(column, twin=f"entry/{name}")


_SMALL = (
    _column("edge_step", "<f4", "frame", units="arbitrary"),
    _column("frame_index", "<i8", "frame"),
    _column("frame_time", "<f8", "frame", long_name="time"),
    _column("status", "u1", "frame", meaning="0 absent, 1 predicted, 2 dead-lettered"),
    _column("novelty", "<f4", "frame", meaning="how far outside the training data"),
    _column("model_index", "<i2", "frame", meaning="row of models; -1 where there is none"),
    _column("t_pushed", "<f8", "frame", units="s", meaning="since 1970-01-01 UTC"),
    _column("t_predicted", "<f8", "frame", units="s", meaning="since 1970-01-01 UTC"),
    _column("sites/frame_index", "<i8", "site"),
    _column("sites/atom_index", "<i4", "site", meaning="in its frame, from 0"),
    _column("dead_letters/frame_index", "<i8", "dead"),
    _column("dead_letters/reason", f"S{REASON_BYTES}", "dead"),
)
_SPECTRA = (
    _column("intensity", "<f4", "frame", "energy", long_name="intensity", **_SPECTRUM),
    _column("intensity_errors", "<f4", "frame", "energy", **_SPECTRUM),
    _spectra_of_sites("intensity"),
    _spectra_of_sites("intensity_errors"),
)
_STRUCTURES = (
    _column("structures/numbers", "u1", "atom", meaning="atomic numbers"),
    _column("structures/positions", "<f4", "atom", 3, units="angstrom"),
    _column("structures/offsets", "<i8", "bound", meaning="frame i: offsets[i]:offsets[i+1]"),
    _column("structures/cell", "<f8", "frame", 3, 3, units="angstrom", meaning="0: no cell"),
    _column("structures/pbc", "u1", "frame", 3),
)
_DERIVED = (_column("intensity_normalised", "<f4", "frame", "energy", interpretation="spectrum"),)
CHECKED = tuple(column.path for column in _SMALL + _SPECTRA + _STRUCTURES + _DERIVED)
STRETCH_ROWS = "entry/checksums/rows"
STRETCH_SUMS = "entry/checksums/values"
_CHECKSUMS = (
    _column("checksums/rows", "<i8", "stretch", 4, meaning="frames, sites, atoms, dead letters"),
    _column(
        "checksums/values",
        "<u8",
        "stretch",
        len(CHECKED),
        meaning="of the bytes of a stretch in each column; 0 where the run has no such column",
        algorithm="xxh3_64",
        columns=" ".join(path.removeprefix("entry/") for path in CHECKED),
    ),
)
_ONLY_IF_ANY = ("dead", "stretch")


def columns(keep_structures: bool) -> tuple[Column, ...]:
    """All columns of a run, in the order in which they lie in a file.

    What is cut off an end then costs first what can be computed again.
    """
    return _CHECKSUMS + _SMALL + _SPECTRA + (_STRUCTURES if keep_structures else ()) + _DERIVED


def is_written(column: Column, rows: int) -> bool:
    """Whether a column with that many rows appears in the file."""
    return rows > 0 or column.axis not in _ONLY_IF_ANY


def arrays(rows: Rows, first_atom: int, keep_structures: bool) -> dict[str, NDArray[Any]]:
    """The contents of every column for a block of rows; path to array."""
    found = _frame_arrays(rows) | _site_arrays(rows)
    if keep_structures:
        found |= _structure_arrays(rows, first_atom)
    return {"entry/" + name: array for name, array in found.items()}


def _frame_arrays(rows: Rows) -> dict[str, NDArray[Any]]:
    with np.errstate(divide="ignore", invalid="ignore"):
        normalised = rows.intensity / rows.edge_step[:, None]
    return {
        "intensity": rows.intensity,
        "intensity_errors": rows.errors,
        "intensity_normalised": normalised,
        "edge_step": rows.edge_step,
        "frame_index": np.arange(rows.first_index, rows.end_index),
        "frame_time": rows.frame_time,
        "status": rows.status,
        "novelty": rows.novelty,
        "model_index": rows.model_index,
        "t_pushed": rows.t_pushed,
        "t_predicted": rows.t_predicted,
    }


def _site_arrays(rows: Rows) -> dict[str, NDArray[Any]]:
    reasons = [text(reason, REASON_BYTES) for _, reason in rows.reasons]
    return {
        "sites/frame_index": rows.site_frame,
        "sites/atom_index": rows.site_atom,
        "sites/intensity": rows.site_intensity,
        "sites/intensity_errors": rows.site_errors,
        "dead_letters/frame_index": np.array([index for index, _ in rows.reasons], dtype="<i8"),
        "dead_letters/reason": np.array(reasons, dtype=f"S{REASON_BYTES}"),
    }


def _structure_arrays(rows: Rows, first_atom: int) -> dict[str, NDArray[Any]]:
    kept = rows.structures
    if kept is None:
        raise ValueError("the run keeps structures, but these rows have none")
    n = len(rows)
    return {
        "structures/numbers": kept.numbers,
        "structures/positions": kept.positions,
        "structures/offsets": kept.offsets + first_atom,
        "structures/cell": np.zeros((n, 3, 3)) if kept.cells is None else kept.cells,
        "structures/pbc": np.zeros((n, 3), "u1") if kept.pbc is None else kept.pbc,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the main file says beside its columns."""

    header: RunHeader
    models: Sequence[Model]
    average: Average
    end_time: float | None = None  # Unix seconds; None while the run grows
    interrupted: bool = False
    sealed: bool = False
    dropped: int = 0


def describe(file: h5py.File, summary: Summary) -> None:
    """What is not a column and not an attribute: names, models, average, links."""
    header = summary.header
    values = _names(header) | _outcome(summary) | _models(summary.models)
    values |= {f"average/{name}": value for name, (value, _) in summary.average.named().items()}
    values |= {"average/energy": summary.average.energy, "average/n": summary.average.n}
    for name, value in values.items():
        put_value(file, f"entry/{name}", value)
    for name in ("intensity", "intensity_errors", "frame_time", "energy"):
        file.id.links.create_soft(
            f"entry/spectra/{name}".encode(), f"/entry/{name}".encode(), LINKS
        )


def annotate(file: h5py.File, summary: Summary) -> None:
    """The attributes of everything, once it is there."""
    note(file, "/", {"default": "entry", "creator": "edgestream", "NX_class": "NXroot"})
    for name, attributes in _attributes(summary).items():
        if has(file, f"entry/{name}".removesuffix("/.")):
            note(file, f"entry/{name}", attributes)


def _names(header: RunHeader) -> dict[str, Any]:
    return {
        "title": header.title or header.run,
        "run_id": header.run,
        "start_time": iso(header.start_time),
        "calculated": True,
        "element/symbol": header.element,
        "edge/name": header.edge,
        "sample/name": header.sample,
        "process/program": "edgestream",
        "process/version": header.program_version,
        "process/date": iso(header.start_time),
        "process/descriptor": header.descriptor,
        "process/provider": header.provider,
    }


def _outcome(summary: Summary) -> dict[str, Any]:
    end = summary.end_time
    return ({} if end is None else {"end_time": iso(end)}) | {
        "finished": end is not None,
        "interrupted": summary.interrupted,
        "sealed": summary.sealed,
        "dropped": summary.dropped,
    }


def _models(models: Sequence[Model]) -> dict[str, Any]:
    words = {f"models/{w}": [getattr(m, w) for m in models] for w in ("name", "version", "sha256")}
    return words | {"models/first_frame": np.array([m.first_frame for m in models], dtype="<i8")}


def _attributes(summary: Summary) -> dict[str, dict[str, Any]]:
    """By name of dataset or group in the entry; "." is the entry itself."""
    header, average = summary.header, summary.average
    found: dict[str, dict[str, Any]] = {
        ".": {"NX_class": "NXentry", "default": "average"},
        "energy": {"units": "eV"},
        "dropped": {"meaning": "frames that the producer dropped before numbering"},
        "sample": {"NX_class": "NXsample"},
        "process": {"NX_class": "NXprocess", **header.extra},
        "average": _plot("intensity", "energy", f"{header.run}: average of {average.n} frames"),
        "average/energy": {"units": "eV"},
        "spectra": _plot("intensity", ["frame_time", "energy"])
        | {"frame_time_indices": 0, "energy_indices": 1},
    }
    for name, (_, meaning) in average.named().items():
        found[f"average/{name}"] = {"units": "arbitrary", "meaning": meaning}
    for column in columns(header.keep_structures):
        found[column.path.removeprefix("entry/")] = dict(column.attributes)
    found["frame_time"]["units"] = header.time_units
    for name in ("edge_step", "intensity_normalised"):
        found[name]["edge_step_method"] = header.edge_step_method
    for name in ("sites", "structures", "models", "element", "edge", "dead_letters", "checksums"):
        found[name] = {"NX_class": "NXcollection"}
    return found


def _plot(signal: str, axes: str | list[str], title: str = "") -> dict[str, Any]:
    plot = {"NX_class": "NXdata", "signal": signal, "axes": axes}
    return plot | {"title": title} if title else plot


def put_state(file: h5py.File, state: Mapping[str, Any]) -> None:
    """Store what recovery needs."""
    put(file, STATE, np.array(json.dumps(state).encode()))


def get_state(file: h5py.File) -> dict[str, Any]:
    """Inverse of ``put_state``; KeyError or ValueError where the file is not ours."""
    found = json.loads(file[STATE][()])
    if not isinstance(found, dict):
        raise ValueError("not the state of a result file")
    return found


def iso(unix_s: float) -> str:
    """ISO 8601 in UTC, as NeXus asks for."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds")
