"""The layout of a result file: every path, type and attribute.

/entry (NXentry)
  energy, and the columns below
  element, edge, sample, process (NXprocess), models, dropped
  spectra (NXdata, links)   average (NXdata)   sites/   structures/   dead_letters/
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
from stream.result_file.datasets import put, text
from stream.result_file.header import Model, RunHeader
from stream.result_file.rows import Rows

FORMAT = 1
STATE = "entry/process/state"  # JSON: what recovery needs, see segment.py
ENERGY = "entry/energy"
REASON_BYTES = 500

Axis = Literal["frame", "bound", "site", "atom", "dead"]


@dataclass(frozen=True, slots=True)
class Column:
    """A dataset with one row a frame, site, atom, dead letter, or bound (frames + 1).

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


_ALWAYS = (
    _column("intensity", "<f4", "frame", "energy", long_name="intensity", **_SPECTRUM),
    _column("intensity_errors", "<f4", "frame", "energy", **_SPECTRUM),
    _column("intensity_normalised", "<f4", "frame", "energy", interpretation="spectrum"),
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
    _spectra_of_sites("intensity"),
    _spectra_of_sites("intensity_errors"),
    _column("dead_letters/frame_index", "<i8", "dead"),
    _column("dead_letters/reason", f"S{REASON_BYTES}", "dead"),
)
_STRUCTURES = (
    _column("structures/numbers", "u1", "atom", meaning="atomic numbers"),
    _column("structures/positions", "<f4", "atom", 3, units="angstrom"),
    _column("structures/offsets", "<i8", "bound", meaning="frame i: offsets[i]:offsets[i+1]"),
    _column("structures/cell", "<f8", "frame", 3, 3, units="angstrom", meaning="0: no cell"),
    _column("structures/pbc", "u1", "frame", 3),
)
_ONLY_IF_ANY = ("dead",)


def columns(keep_structures: bool) -> tuple[Column, ...]:
    """All columns of a run."""
    return _ALWAYS + _STRUCTURES if keep_structures else _ALWAYS


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
    """Everything but the columns: groups, names, average, links, attributes."""
    header, entry = summary.header, file["entry"]
    file.attrs.update({"default": "entry", "creator": "edgestream", "NX_class": "NXroot"})
    entry.attrs.update({"NX_class": "NXentry", "default": "average"})
    entry["title"] = header.title or header.run
    entry["run_id"] = header.run
    entry["start_time"] = iso(header.start_time)
    if summary.end_time is not None:
        entry["end_time"] = iso(summary.end_time)
    entry["calculated"] = True
    entry["finished"] = summary.end_time is not None
    entry["interrupted"] = summary.interrupted
    entry["sealed"] = summary.sealed
    entry["dropped"] = summary.dropped
    entry["dropped"].attrs["meaning"] = "frames that the producer dropped before numbering"
    _name_things(entry, header)
    _list_models(entry, summary.models)
    _add_average(entry, summary.average, header)
    _link_spectra(entry)
    _attribute_columns(entry, header)


def _name_things(entry: h5py.Group, header: RunHeader) -> None:
    entry["element/symbol"] = header.element
    entry["edge/name"] = header.edge
    entry["sample/name"] = header.sample
    entry["sample"].attrs["NX_class"] = "NXsample"
    process = entry["process"]
    process.attrs["NX_class"] = "NXprocess"
    process["program"] = "edgestream"
    process["version"] = header.program_version
    process["date"] = iso(header.start_time)
    process["descriptor"] = header.descriptor
    process["provider"] = header.provider
    process.attrs.update(header.extra)


def _list_models(entry: h5py.Group, models: Sequence[Model]) -> None:
    words = h5py.string_dtype()
    group = entry.create_group("models")
    for name in ("name", "version", "sha256"):
        group.create_dataset(name, data=[getattr(m, name) for m in models], dtype=words)
    group["first_frame"] = np.array([m.first_frame for m in models], dtype="<i8")


def _add_average(entry: h5py.Group, average: Average, header: RunHeader) -> None:
    group = entry.create_group("average")
    group.attrs.update({"NX_class": "NXdata", "signal": "intensity", "axes": "energy"})
    group.attrs["title"] = f"{header.run}: average of {average.n} frames"
    group["energy"] = average.energy
    group["energy"].attrs["units"] = "eV"
    for name, (values, meaning) in average.named().items():
        group[name] = values
        group[name].attrs.update({"units": "arbitrary", "meaning": meaning})
    group["n"] = average.n


def _link_spectra(entry: h5py.Group) -> None:
    group = entry.create_group("spectra")
    group.attrs.update({"NX_class": "NXdata", "signal": "intensity"})
    group.attrs["axes"] = ["frame_time", "energy"]
    for axis, name in enumerate(("frame_time", "energy")):
        group.attrs[f"{name}_indices"] = axis
    for name in ("intensity", "intensity_errors", "frame_time", "energy"):
        group[name] = h5py.SoftLink(f"/entry/{name}")


def _attribute_columns(entry: h5py.Group, header: RunHeader) -> None:
    entry["energy"].attrs["units"] = "eV"
    for column in columns(header.keep_structures):
        name = column.path.removeprefix("entry/")
        if name in entry:
            entry[name].attrs.update(column.attributes)
    entry["frame_time"].attrs["units"] = header.time_units
    for name in ("edge_step", "intensity_normalised"):
        entry[name].attrs["edge_step_method"] = header.edge_step_method
    for name in ("sites", "structures", "models", "element", "edge", "dead_letters"):
        if name in entry:
            entry[name].attrs["NX_class"] = "NXcollection"


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
