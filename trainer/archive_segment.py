"""Labels in one immutable HDF5 file: ``000000000-000000128.h5`` holds labels 0 to 127.

    /                    @format, @first, @end
    sha256, structure_sha256, element, edge, theory, source, name, group   texts (n,)
    weight, t_pushed     f8 (n,)
    offsets i8 (n + 1,)  numbers u1, positions f4 (n_atoms, 3) angstrom; the first absorbs
    cell f8 (n, 3, 3), pbc b1 (n, 3)     zeros where nothing is periodic
    grid i4 (n,)         which of the energy grids; grid k owns grid_offsets[k]:grid_offsets[k + 1]
    energy f8 eV         all grids, end to end
    intensity f8         all spectra, end to end; label i owns spectrum_offsets[i]: ...[i + 1]

Written aside, fsync, rename, fsync of the folder (record 4): there whole, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from stream.codec import Array
from stream.labels import Label
from stream.result_file.draft import Draft
from xas.errors import BadLabels

FORMAT = 1
TEXTS = ("element", "edge", "theory", "source", "name", "group")
LABEL_COLUMNS = (
    *(*TEXTS, "weight", "offsets", "numbers", "positions", "cell", "pbc"),
    *("grid", "grid_offsets", "energy", "spectrum_offsets", "intensity"),
)
_NAME = re.compile(r"(\d{9,})-(\d{9,})\.h5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is known of an archived label without its structure and spectrum.

    low_ev, high_ev, n_energy: of its energy grid, of which ``grid`` is a hash; t_pushed: when the
    server got it, s since 1970.
    """

    sha256: str
    structure_sha256: str
    element: str
    edge: str
    theory: str
    source: str
    name: str
    group: str
    weight: float
    t_pushed: float
    low_ev: float
    high_ev: float
    n_energy: int
    grid: int


def row_of(label: Label, t_pushed: float) -> Row:
    """What the archive will know of a label."""
    energy, _ = label.spectrum()
    texts = {name: getattr(label, name) for name in TEXTS}
    return Row(
        sha256=label.sha256,
        structure_sha256=label.structure_sha256,
        weight=label.weight,
        t_pushed=t_pushed,
        **_grid_facts(energy),
        **texts,
    )


def _grid_facts(energy: NDArray[np.float64]) -> dict[str, Any]:
    low, high = float(energy[0]), float(energy[-1])
    return {"low_ev": low, "high_ev": high, "n_energy": len(energy), "grid": hash(energy.tobytes())}


def path_of(folder: Path, first: int, end: int) -> Path:
    """The file of labels first to end - 1."""
    return folder / f"{first:09d}-{end:09d}.h5"


def range_of(path: Path) -> tuple[int, int] | None:
    """Which labels a file holds; None for another file."""
    match = _NAME.fullmatch(path.name)
    return (int(match[1]), int(match[2])) if match else None


def write(folder: Path, first: int, labels: Sequence[Label], rows: Sequence[Row]) -> Path:
    """Make labels durable as first, first + 1, ...; the file. StorageFailed, and no file."""
    target = path_of(folder, first, first + len(labels))
    with Draft(folder, target) as draft:
        with h5py.File(draft, "w") as file:
            file.attrs.update(format=FORMAT, first=first, end=first + len(labels))
            for name, values in _columns(labels, rows).items():
                file.create_dataset(name, data=values)
        draft.publish()
    return target


def _columns(labels: Sequence[Label], rows: Sequence[Row]) -> dict[str, Any]:
    structures = [label.structure() for label in labels]
    spectra = [label.spectrum() for label in labels]
    grids: dict[bytes, int] = {}
    grid = [grids.setdefault(energy.tobytes(), len(grids)) for energy, _ in spectra]
    energies = [np.frombuffer(energy) for energy in grids]
    texts = ("sha256", "structure_sha256", *TEXTS)
    return {
        **{name: _texts([getattr(row, name) for row in rows]) for name in texts},
        "weight": np.array([row.weight for row in rows]),
        "t_pushed": np.array([row.t_pushed for row in rows]),
        "offsets": _ends([s.n_atoms for s in structures]),
        "numbers": np.concatenate([s.numbers for s in structures]),
        "positions": np.concatenate([s.positions for s in structures]),
        "cell": np.array([_or_zero(label.cell, "<f8", 3, 3) for label in labels]),
        "pbc": np.array([_or_zero(label.pbc, "|b1", 3) for label in labels]),
        "grid": np.array(grid, dtype="<i4"),
        "grid_offsets": _ends([len(energy) for energy in energies]),
        "energy": np.concatenate(energies),
        "spectrum_offsets": _ends([len(intensity) for _, intensity in spectra]),
        "intensity": np.concatenate([intensity for _, intensity in spectra]),
    }


def _texts(values: list[str]) -> NDArray[Any]:
    return np.array(values, dtype=h5py.string_dtype())


def _ends(sizes: list[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _or_zero(array: Array | None, dtype: str, *shape: int) -> NDArray[Any]:
    return np.zeros(shape, dtype=dtype) if array is None else array.view(dtype, *shape)


def read_rows(path: Path) -> list[Row]:
    """What a file says of its labels; BadLabels where it is not whole."""
    wanted = ("sha256", "structure_sha256", *TEXTS, "weight", "t_pushed")
    columns = _read(path, (*wanted, "grid", "grid_offsets", "energy"))
    ends = columns["grid_offsets"]
    grids = [_grid_facts(columns["energy"][a:b]) for a, b in pairwise(ends)]
    values = zip(*(columns[name] for name in wanted), strict=True)
    return [
        Row(**dict(zip(wanted, row, strict=True)), **grids[k])
        for row, k in zip(values, columns["grid"].tolist(), strict=True)
    ]


def read_labels_of(path: Path) -> list[Label]:
    """The labels of a file as they were sent; BadLabels where it is not whole."""
    columns = _read(path, LABEL_COLUMNS)
    return [_label(columns, i) for i in range(len(columns["grid"]))]


def _label(c: dict[str, Any], i: int) -> Label:
    k = c["grid"][i]
    atoms = slice(*c["offsets"][i : i + 2])
    points = slice(*c["spectrum_offsets"][i : i + 2])
    periodic = bool(c["pbc"][i].any())
    return Label(
        numbers=Array.of(c["numbers"][atoms]),
        positions=Array.of(c["positions"][atoms]),
        cell=Array.of(c["cell"][i]) if periodic else None,
        pbc=Array.of(c["pbc"][i]) if periodic else None,
        energy=Array.of(c["energy"][slice(*c["grid_offsets"][k : k + 2])]),
        intensity=Array.of(c["intensity"][points]),
        weight=float(c["weight"][i]),
        **{name: c[name][i] for name in TEXTS},
    )


def _read(path: Path, names: Sequence[str]) -> dict[str, Any]:
    try:
        with path.open("rb") as raw, h5py.File(raw, "r") as file:
            if file.attrs["format"] > FORMAT:
                raise BadLabels(f"{path} was written by a later edgestream; update this one")
            return {name: _values(file[name]) for name in names}
    except FileNotFoundError:
        raise
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BadLabels(f"{path} is no whole file of labels: {error}") from None


def _values(dataset: Any) -> Any:
    if h5py.check_string_dtype(dataset.dtype) is None:
        return dataset[()]
    return [text.decode() for text in dataset[()]]
